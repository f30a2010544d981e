//! Every operation of Block Storage v3 and of the part of Identity v3 that its clients call: one line each. A line
//! without a handler is an operation that is not built; it answers 501.

use http::Method;
use parpen_http::{Boxed, Reply, path::Route};
use parpen_model::Condition;

use crate::cx::Cx;
use crate::{
    actions, attachments, backends, backups, connections, group_snapshots, group_types, groups, house,
    identity, images, manage, messages, metadata, qos, quotas, services, snapshots, transfers, types,
    versions, volumes,
};

macro_rules! operations {
    (
        paths { $( $name:ident $method:ident $path:literal since $min:literal $(=> $handler:path)? ; )* }
        actions { $( $aname:ident $collection:ident $key:literal since $amin:literal $(=> $ahandler:path)? ; )* }
    ) => {
        /// One operation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Endpoint { $(
            #[doc = concat!(stringify!($method), " ", $path)]
            $name, )* $(
            #[doc = concat!("the action ", $key, " of ", stringify!($collection))]
            $aname, )*
        }

        impl Endpoint {
            /// All of them, the refused ones too.
            pub const ALL: &'static [Endpoint] = &[ $(Endpoint::$name,)* $(Endpoint::$aname,)* ];

            /// Whether there is code behind it.
            pub fn is_built(self) -> bool {
                match self {
                    $(Endpoint::$name => operations!(@built $($handler)?),)*
                    $(Endpoint::$aname => operations!(@built $($ahandler)?),)*
                }
            }

            /// As the API's manual writes it.
            pub fn title(self) -> &'static str {
                match self {
                    $(Endpoint::$name => concat!(stringify!($method), " ", $path),)*
                    $(Endpoint::$aname => concat!("POST ", stringify!($collection), " action ", $key),)*
                }
            }

            /// The microversion 3.x that brought it.
            pub(crate) fn since(self) -> u16 {
                match self {
                    $(Endpoint::$name => $min,)*
                    $(Endpoint::$aname => $amin,)*
                }
            }
        }

        /// The router's table. Actions share one path per collection and are told apart by their body.
        pub(crate) fn table() -> Vec<Route<Endpoint>> {
            vec![ $((Method::$method, $path, Endpoint::$name),)* ]
        }

        /// The action that a body's key names.
        pub(crate) fn action(of: Endpoint, key: &str) -> Option<Endpoint> {
            match (of, key) {
                $((Endpoint::$collection, $key) => Some(Endpoint::$aname),)*
                _ => None,
            }
        }

        /// Does it.
        pub(crate) fn dispatch(endpoint: Endpoint, cx: Cx) -> Boxed<'static, Result<Reply, Condition>> {
            match endpoint {
                $(Endpoint::$name => operations!(@run cx endpoint $($handler)?),)*
                $(Endpoint::$aname => operations!(@run cx endpoint $($ahandler)?),)*
            }
        }
    };
    (@built) => { false };
    (@built $handler:path) => { true };
    (@run $cx:ident $endpoint:ident) => { Box::pin(not_built($endpoint)) };
    (@run $cx:ident $endpoint:ident $handler:path) => { Box::pin($handler($cx)) };
}

async fn not_built(endpoint: Endpoint) -> Result<Reply, Condition> {
    Err(Condition::Unsupported(format!("{} is not implemented here", endpoint.title())))
}

operations! {
    paths {
    IdentityVersions GET "/identity" since 0 => identity::tokens::versions;
    IdentityVersion GET "/identity/v3" since 0 => identity::tokens::version;
    TokenIssue POST "/identity/v3/auth/tokens" since 0 => identity::tokens::issue;
    TokenValidate GET "/identity/v3/auth/tokens" since 0 => identity::tokens::validate;
    TokenRevoke DELETE "/identity/v3/auth/tokens" since 0 => identity::tokens::revoke;
    AuthCatalog GET "/identity/v3/auth/catalog" since 0 => identity::tokens::catalog;
    AuthProjects GET "/identity/v3/auth/projects" since 0 => identity::lookups::own_projects;
    AuthDomains GET "/identity/v3/auth/domains" since 0 => identity::lookups::domains;
    AuthSystem GET "/identity/v3/auth/system" since 0 => identity::lookups::system;
    ProjectsList GET "/identity/v3/projects" since 0 => identity::projects::list;
    ProjectShow GET "/identity/v3/projects/{id}" since 0 => identity::projects::show;
    ProjectCreate POST "/identity/v3/projects" since 0 => identity::projects::create;
    ProjectUpdate PATCH "/identity/v3/projects/{id}" since 0 => identity::projects::update;
    ProjectDelete DELETE "/identity/v3/projects/{id}" since 0 => identity::projects::delete;
    UsersList GET "/identity/v3/users" since 0 => identity::users::list;
    UserShow GET "/identity/v3/users/{id}" since 0 => identity::users::show;
    UserProjects GET "/identity/v3/users/{id}/projects" since 0 => identity::users::projects;
    UserCreate POST "/identity/v3/users" since 0 => identity::users::create;
    UserUpdate PATCH "/identity/v3/users/{id}" since 0 => identity::users::update;
    UserDelete DELETE "/identity/v3/users/{id}" since 0 => identity::users::delete;
    UserPassword POST "/identity/v3/users/{id}/password" since 0 => identity::users::password;
    ApplicationsList GET "/identity/v3/users/{id}/application_credentials" since 0
        => identity::applications::list;
    ApplicationShow GET "/identity/v3/users/{id}/application_credentials/{credential}" since 0
        => identity::applications::show;
    ApplicationCreate POST "/identity/v3/users/{id}/application_credentials" since 0
        => identity::applications::create;
    ApplicationDelete DELETE "/identity/v3/users/{id}/application_credentials/{credential}" since 0
        => identity::applications::delete;
    RolesList GET "/identity/v3/roles" since 0 => identity::roles::list;
    RoleShow GET "/identity/v3/roles/{id}" since 0 => identity::roles::show;
    RoleAssignments GET "/identity/v3/role_assignments" since 0 => identity::roles::assignments;
    RolesInProject GET "/identity/v3/projects/{id}/users/{user}/roles" since 0 => identity::roles::in_project;
    RoleCheck GET "/identity/v3/projects/{id}/users/{user}/roles/{role}" since 0 => identity::roles::check;
    RoleGrant PUT "/identity/v3/projects/{id}/users/{user}/roles/{role}" since 0 => identity::roles::grant;
    RoleTake DELETE "/identity/v3/projects/{id}/users/{user}/roles/{role}" since 0 => identity::roles::take;
    DomainRoles GET "/identity/v3/domains/{domain}/users/{user}/roles" since 0 => identity::roles::in_project;
    DomainRoleCheck GET "/identity/v3/domains/{domain}/users/{user}/roles/{role}" since 0
        => identity::roles::check;
    DomainRoleGrant PUT "/identity/v3/domains/{domain}/users/{user}/roles/{role}" since 0
        => identity::roles::grant;
    DomainRoleTake DELETE "/identity/v3/domains/{domain}/users/{user}/roles/{role}" since 0
        => identity::roles::take;
    SystemRoles GET "/identity/v3/system/users/{user}/roles" since 0 => identity::roles::in_project;
    SystemRoleCheck GET "/identity/v3/system/users/{user}/roles/{role}" since 0 => identity::roles::check;
    SystemRoleGrant PUT "/identity/v3/system/users/{user}/roles/{role}" since 0 => identity::roles::grant;
    SystemRoleTake DELETE "/identity/v3/system/users/{user}/roles/{role}" since 0 => identity::roles::take;
    DomainsList GET "/identity/v3/domains" since 0 => identity::lookups::domains;
    DomainShow GET "/identity/v3/domains/{id}" since 0 => identity::lookups::domain;

    ImageVersions GET "/image" since 0 => images::versions;
    ImageVersion GET "/image/v2" since 0 => images::versions;
    ImagesList GET "/image/v2/images" since 0 => images::list;
    ImageCreate POST "/image/v2/images" since 0 => images::create;
    ImageShow GET "/image/v2/images/{id}" since 0 => images::show;
    ImageUpdate PATCH "/image/v2/images/{id}" since 0 => images::update;
    ImageDelete DELETE "/image/v2/images/{id}" since 0 => images::delete;
    ImageUpload PUT "/image/v2/images/{id}/file" since 0 => images::upload;
    ImageDownload GET "/image/v2/images/{id}/file" since 0 => images::download;
    ImageDeactivate POST "/image/v2/images/{id}/actions/deactivate" since 0 => images::deactivate;
    ImageReactivate POST "/image/v2/images/{id}/actions/reactivate" since 0 => images::reactivate;
    ImageTag PUT "/image/v2/images/{id}/tags/{tag}" since 0 => images::tag;
    ImageUntag DELETE "/image/v2/images/{id}/tags/{tag}" since 0 => images::untag;

    Versions GET "/volume" since 0 => versions::all;
    Version GET "/volume/v3" since 0 => versions::v3_only;
    Extensions GET "/volume/v3/extensions" since 0 => house::extensions;
    ExtensionShow GET "/volume/v3/extensions/{alias}" since 0 => house::extension;

    VolumesList GET "/volume/v3/volumes" since 0 => volumes::list;
    VolumesDetail GET "/volume/v3/volumes/detail" since 0 => volumes::detail;
    VolumesSummary GET "/volume/v3/volumes/summary" since 12 => volumes::summary;
    VolumeCreate POST "/volume/v3/volumes" since 0 => volumes::create;
    VolumeShow GET "/volume/v3/volumes/{id}" since 0 => volumes::show;
    VolumeUpdate PUT "/volume/v3/volumes/{id}" since 0 => volumes::update;
    VolumeDelete DELETE "/volume/v3/volumes/{id}" since 0 => volumes::delete;
    VolumeMetadata GET "/volume/v3/volumes/{id}/metadata" since 0 => metadata::volume_show;
    VolumeMetadataMerge POST "/volume/v3/volumes/{id}/metadata" since 0 => metadata::volume_merge;
    VolumeMetadataReplace PUT "/volume/v3/volumes/{id}/metadata" since 0 => metadata::volume_replace;
    VolumeMetadataItem GET "/volume/v3/volumes/{id}/metadata/{key}" since 0 => metadata::volume_item;
    VolumeMetadataItemSet PUT "/volume/v3/volumes/{id}/metadata/{key}" since 0 => metadata::volume_set;
    VolumeMetadataItemDelete DELETE "/volume/v3/volumes/{id}/metadata/{key}" since 0 => metadata::volume_unset;
    VolumeAction POST "/volume/v3/volumes/{id}/action" since 0;
    VolumeEncryption GET "/volume/v3/volumes/{id}/encryption" since 0 => types::encryption::of_volume;
    VolumeEncryptionItem GET "/volume/v3/volumes/{id}/encryption/{key}" since 0 => types::encryption::of_volume_item;
    VolumeManageOldList GET "/volume/v3/os-volume-manage" since 0 => manage::volumes_list;
    VolumeManageOldDetail GET "/volume/v3/os-volume-manage/detail" since 0 => manage::volumes_detail;
    VolumeManage POST "/volume/v3/os-volume-manage" since 0 => manage::volume;
    VolumeManageableList GET "/volume/v3/manageable_volumes" since 8 => manage::volumes_list;
    VolumeManageableDetail GET "/volume/v3/manageable_volumes/detail" since 8 => manage::volumes_detail;
    VolumeManageNew POST "/volume/v3/manageable_volumes" since 8 => manage::volume;

    SnapshotsList GET "/volume/v3/snapshots" since 0 => snapshots::list;
    SnapshotsDetail GET "/volume/v3/snapshots/detail" since 0 => snapshots::detail;
    SnapshotCreate POST "/volume/v3/snapshots" since 0 => snapshots::create;
    SnapshotShow GET "/volume/v3/snapshots/{id}" since 0 => snapshots::show;
    SnapshotUpdate PUT "/volume/v3/snapshots/{id}" since 0 => snapshots::update;
    SnapshotDelete DELETE "/volume/v3/snapshots/{id}" since 0 => snapshots::delete;
    SnapshotMetadata GET "/volume/v3/snapshots/{id}/metadata" since 0 => metadata::snapshot_show;
    SnapshotMetadataMerge POST "/volume/v3/snapshots/{id}/metadata" since 0 => metadata::snapshot_merge;
    SnapshotMetadataReplace PUT "/volume/v3/snapshots/{id}/metadata" since 0 => metadata::snapshot_replace;
    SnapshotMetadataItem GET "/volume/v3/snapshots/{id}/metadata/{key}" since 0 => metadata::snapshot_item;
    SnapshotMetadataItemSet PUT "/volume/v3/snapshots/{id}/metadata/{key}" since 0 => metadata::snapshot_set;
    SnapshotMetadataItemDelete DELETE "/volume/v3/snapshots/{id}/metadata/{key}" since 0
        => metadata::snapshot_unset;
    SnapshotAction POST "/volume/v3/snapshots/{id}/action" since 0;
    SnapshotManageOldList GET "/volume/v3/os-snapshot-manage" since 0 => manage::snapshots_list;
    SnapshotManageOldDetail GET "/volume/v3/os-snapshot-manage/detail" since 0 => manage::snapshots_detail;
    SnapshotManage POST "/volume/v3/os-snapshot-manage" since 0 => manage::snapshot;
    SnapshotManageableList GET "/volume/v3/manageable_snapshots" since 8 => manage::snapshots_list;
    SnapshotManageableDetail GET "/volume/v3/manageable_snapshots/detail" since 8 => manage::snapshots_detail;
    SnapshotManageNew POST "/volume/v3/manageable_snapshots" since 8 => manage::snapshot;

    AttachmentsList GET "/volume/v3/attachments" since 27 => attachments::list;
    AttachmentsDetail GET "/volume/v3/attachments/detail" since 27 => attachments::detail;
    AttachmentCreate POST "/volume/v3/attachments" since 27 => attachments::create;
    AttachmentShow GET "/volume/v3/attachments/{id}" since 27 => attachments::show;
    AttachmentUpdate PUT "/volume/v3/attachments/{id}" since 27 => attachments::update;
    AttachmentDelete DELETE "/volume/v3/attachments/{id}" since 27 => attachments::delete;
    AttachmentAction POST "/volume/v3/attachments/{id}/action" since 44;

    BackupsList GET "/volume/v3/backups" since 0 => backups::list;
    BackupsDetail GET "/volume/v3/backups/detail" since 0 => backups::detail;
    BackupCreate POST "/volume/v3/backups" since 0 => backups::create;
    BackupImport POST "/volume/v3/backups/import_record" since 0 => backups::import;
    BackupShow GET "/volume/v3/backups/{id}" since 0 => backups::show;
    BackupUpdate PUT "/volume/v3/backups/{id}" since 9 => backups::update;
    BackupDelete DELETE "/volume/v3/backups/{id}" since 0 => backups::delete;
    BackupRestore POST "/volume/v3/backups/{id}/restore" since 0 => backups::restore;
    BackupExport GET "/volume/v3/backups/{id}/export_record" since 0 => backups::export;
    BackupAction POST "/volume/v3/backups/{id}/action" since 0;

    TypesList GET "/volume/v3/types" since 0 => types::list;
    TypeDefault GET "/volume/v3/types/default" since 0 => types::default;
    TypeShow GET "/volume/v3/types/{id}" since 0 => types::show;
    TypeCreate POST "/volume/v3/types" since 0 => types::create;
    TypeUpdate PUT "/volume/v3/types/{id}" since 0 => types::update;
    TypeDelete DELETE "/volume/v3/types/{id}" since 0 => types::delete;
    TypeSpecs GET "/volume/v3/types/{id}/extra_specs" since 0 => types::specs::list;
    TypeSpecsSet POST "/volume/v3/types/{id}/extra_specs" since 0 => types::specs::merge;
    TypeSpec GET "/volume/v3/types/{id}/extra_specs/{key}" since 0 => types::specs::show;
    TypeSpecSet PUT "/volume/v3/types/{id}/extra_specs/{key}" since 0 => types::specs::put;
    TypeSpecDelete DELETE "/volume/v3/types/{id}/extra_specs/{key}" since 0 => types::specs::delete;
    TypeAccess GET "/volume/v3/types/{id}/os-volume-type-access" since 0 => types::access::list;
    TypeAction POST "/volume/v3/types/{id}/action" since 0;
    TypeEncryption GET "/volume/v3/types/{id}/encryption" since 0 => types::encryption::show;
    TypeEncryptionCreate POST "/volume/v3/types/{id}/encryption" since 0 => types::encryption::create;
    TypeEncryptionItem GET "/volume/v3/types/{id}/encryption/{encryption}" since 0 => types::encryption::item;
    TypeEncryptionUpdate PUT "/volume/v3/types/{id}/encryption/{encryption}" since 0 => types::encryption::update;
    TypeEncryptionDelete DELETE "/volume/v3/types/{id}/encryption/{encryption}" since 0 => types::encryption::delete;
    DefaultTypesList GET "/volume/v3/default-types" since 62 => types::defaults::list;
    DefaultTypeShow GET "/volume/v3/default-types/{project}" since 62 => types::defaults::show;
    DefaultTypeSet PUT "/volume/v3/default-types/{project}" since 62 => types::defaults::set;
    DefaultTypeUnset DELETE "/volume/v3/default-types/{project}" since 62 => types::defaults::unset;

    GroupsList GET "/volume/v3/groups" since 13 => groups::list;
    GroupsDetail GET "/volume/v3/groups/detail" since 13 => groups::detail;
    GroupCreate POST "/volume/v3/groups" since 13 => groups::create;
    GroupCreateFrom POST "/volume/v3/groups/action" since 14 => groups::create_from;
    GroupShow GET "/volume/v3/groups/{id}" since 13 => groups::show;
    GroupUpdate PUT "/volume/v3/groups/{id}" since 13 => groups::update;
    GroupAction POST "/volume/v3/groups/{id}/action" since 13;
    GroupSnapshotsList GET "/volume/v3/group_snapshots" since 14 => group_snapshots::list;
    GroupSnapshotsDetail GET "/volume/v3/group_snapshots/detail" since 14 => group_snapshots::detail;
    GroupSnapshotCreate POST "/volume/v3/group_snapshots" since 14 => group_snapshots::create;
    GroupSnapshotShow GET "/volume/v3/group_snapshots/{id}" since 14 => group_snapshots::show;
    GroupSnapshotDelete DELETE "/volume/v3/group_snapshots/{id}" since 14 => group_snapshots::delete;
    GroupSnapshotAction POST "/volume/v3/group_snapshots/{id}/action" since 19;
    GroupTypesList GET "/volume/v3/group_types" since 11 => group_types::list;
    GroupTypeDefault GET "/volume/v3/group_types/default" since 11 => group_types::default;
    GroupTypeCreate POST "/volume/v3/group_types" since 11 => group_types::create;
    GroupTypeShow GET "/volume/v3/group_types/{id}" since 11 => group_types::show;
    GroupTypeUpdate PUT "/volume/v3/group_types/{id}" since 11 => group_types::update;
    GroupTypeDelete DELETE "/volume/v3/group_types/{id}" since 11 => group_types::delete;
    GroupSpecs GET "/volume/v3/group_types/{id}/group_specs" since 11 => group_types::specs;
    GroupSpecsSet POST "/volume/v3/group_types/{id}/group_specs" since 11 => group_types::specs_set;
    GroupSpec GET "/volume/v3/group_types/{id}/group_specs/{key}" since 11 => group_types::spec;
    GroupSpecSet PUT "/volume/v3/group_types/{id}/group_specs/{key}" since 11 => group_types::spec_set;
    GroupSpecDelete DELETE "/volume/v3/group_types/{id}/group_specs/{key}" since 11 => group_types::spec_delete;

    TransfersList GET "/volume/v3/volume-transfers" since 0 => transfers::list;
    TransfersDetail GET "/volume/v3/volume-transfers/detail" since 0 => transfers::detail;
    TransferCreate POST "/volume/v3/volume-transfers" since 0 => transfers::create;
    TransferShow GET "/volume/v3/volume-transfers/{id}" since 0 => transfers::show;
    TransferDelete DELETE "/volume/v3/volume-transfers/{id}" since 0 => transfers::delete;
    TransferAccept POST "/volume/v3/volume-transfers/{id}/accept" since 0 => transfers::accept;
    OldTransfersList GET "/volume/v3/os-volume-transfer" since 0 => transfers::list;
    OldTransfersDetail GET "/volume/v3/os-volume-transfer/detail" since 0 => transfers::detail;
    OldTransferCreate POST "/volume/v3/os-volume-transfer" since 0 => transfers::create;
    OldTransferShow GET "/volume/v3/os-volume-transfer/{id}" since 0 => transfers::show;
    OldTransferDelete DELETE "/volume/v3/os-volume-transfer/{id}" since 0 => transfers::delete;
    OldTransferAccept POST "/volume/v3/os-volume-transfer/{id}/accept" since 0 => transfers::accept;

    ServicesList GET "/volume/v3/os-services" since 0 => services::list;
    ServiceEnable PUT "/volume/v3/os-services/enable" since 0 => services::enable;
    ServiceDisable PUT "/volume/v3/os-services/disable" since 0 => services::disable;
    ServiceDisableReason PUT "/volume/v3/os-services/disable-log-reason" since 0 => services::disable_with_reason;
    ServiceThaw PUT "/volume/v3/os-services/thaw" since 0 => services::thaw;
    ServiceFreeze PUT "/volume/v3/os-services/freeze" since 0 => services::freeze;
    ServiceFailover PUT "/volume/v3/os-services/failover" since 0 => services::failover;
    ServiceFailoverHost PUT "/volume/v3/os-services/failover_host" since 0 => services::failover_host;
    ServiceSetLog PUT "/volume/v3/os-services/set-log" since 32 => services::logs::set;
    ServiceGetLog PUT "/volume/v3/os-services/get-log" since 32 => services::logs::get;
    QuotaShow GET "/volume/v3/os-quota-sets/{project}" since 0 => quotas::show;
    QuotaDefaults GET "/volume/v3/os-quota-sets/{project}/defaults" since 0 => quotas::defaults;
    QuotaUpdate PUT "/volume/v3/os-quota-sets/{project}" since 0 => quotas::update;
    QuotaDelete DELETE "/volume/v3/os-quota-sets/{project}" since 0 => quotas::delete;
    QuotaClassShow GET "/volume/v3/os-quota-class-sets/{name}" since 0 => quotas::class_show;
    QuotaClassUpdate PUT "/volume/v3/os-quota-class-sets/{name}" since 0 => quotas::class_update;
    Limits GET "/volume/v3/limits" since 0 => quotas::limits;
    Zones GET "/volume/v3/os-availability-zone" since 0 => backends::zones;
    Pools GET "/volume/v3/scheduler-stats/get_pools" since 0 => backends::list;
    Capabilities GET "/volume/v3/capabilities/{host}" since 0 => backends::capabilities;
    HostsList GET "/volume/v3/os-hosts" since 0 => backends::hosts;
    HostShow GET "/volume/v3/os-hosts/{host}" since 0 => backends::host;
    ResourceFilters GET "/volume/v3/resource_filters" since 33 => house::filters;
    QosList GET "/volume/v3/qos-specs" since 0 => qos::list;
    QosCreate POST "/volume/v3/qos-specs" since 0 => qos::create;
    QosShow GET "/volume/v3/qos-specs/{id}" since 0 => qos::show;
    QosUpdate PUT "/volume/v3/qos-specs/{id}" since 0 => qos::update;
    QosDelete DELETE "/volume/v3/qos-specs/{id}" since 0 => qos::delete;
    QosUnset PUT "/volume/v3/qos-specs/{id}/delete_keys" since 0 => qos::unset;
    QosAssociations GET "/volume/v3/qos-specs/{id}/associations" since 0 => qos::associations;
    QosAssociate GET "/volume/v3/qos-specs/{id}/associate" since 0 => qos::associate;
    QosDisassociate GET "/volume/v3/qos-specs/{id}/disassociate" since 0 => qos::disassociate;
    QosDisassociateAll GET "/volume/v3/qos-specs/{id}/disassociate_all" since 0 => qos::disassociate_all;
    MessagesList GET "/volume/v3/messages" since 3 => messages::list;
    MessageShow GET "/volume/v3/messages/{id}" since 3 => messages::show;
    MessageDelete DELETE "/volume/v3/messages/{id}" since 3 => messages::delete;
    ClustersList GET "/volume/v3/clusters" since 7 => house::clusters;
    ClustersDetail GET "/volume/v3/clusters/detail" since 7 => house::clusters;
    ClusterShow GET "/volume/v3/clusters/{name}" since 7 => house::cluster;
    ClusterEnable PUT "/volume/v3/clusters/enable" since 7 => house::switch_cluster;
    ClusterDisable PUT "/volume/v3/clusters/disable" since 7 => house::switch_cluster;
    WorkersCleanup POST "/volume/v3/workers/cleanup" since 24 => house::cleanup;
    ConsistencyGroupsList GET "/volume/v3/consistencygroups" since 0 => house::consistency_groups;
    ConsistencyGroupsDetail GET "/volume/v3/consistencygroups/detail" since 0 => house::consistency_groups;
    ConsistencyGroupShow GET "/volume/v3/consistencygroups/{id}" since 0 => house::consistency_group;
    ConsistencyGroupCreate POST "/volume/v3/consistencygroups" since 0 => house::make_consistency_group;
    CgSnapshotsList GET "/volume/v3/cgsnapshots" since 0 => house::cgsnapshots;
    CgSnapshotsDetail GET "/volume/v3/cgsnapshots/detail" since 0 => house::cgsnapshots;
    CgSnapshotShow GET "/volume/v3/cgsnapshots/{id}" since 0 => house::cgsnapshot;
    CgSnapshotCreate POST "/volume/v3/cgsnapshots" since 0 => house::make_cgsnapshot;
    }
    actions {
    VolumeExtend VolumeAction "os-extend" since 0 => actions::extend;
    VolumeExtendCompletion VolumeAction "os-extend_volume_completion" since 0 => actions::extend_completion;
    VolumeReadonly VolumeAction "os-update_readonly_flag" since 0 => actions::readonly;
    VolumeRetype VolumeAction "os-retype" since 0 => actions::retype;
    VolumeBootable VolumeAction "os-set_bootable" since 0 => actions::bootable;
    VolumeImageMetadataSet VolumeAction "os-set_image_metadata" since 0 => metadata::image_set;
    VolumeImageMetadataUnset VolumeAction "os-unset_image_metadata" since 0 => metadata::image_unset;
    VolumeImageMetadataShow VolumeAction "os-show_image_metadata" since 0 => metadata::image_show;
    VolumeReset VolumeAction "os-reset_status" since 0 => actions::reset;
    VolumeForceDelete VolumeAction "os-force_delete" since 0 => actions::force_delete;
    VolumeRevert VolumeAction "revert" since 40 => actions::revert;
    VolumeAttach VolumeAction "os-attach" since 0 => connections::attach;
    VolumeDetach VolumeAction "os-detach" since 0 => connections::detach;
    VolumeForceDetach VolumeAction "os-force_detach" since 0 => connections::force_detach;
    VolumeUnmanage VolumeAction "os-unmanage" since 0 => manage::volume_release;
    VolumeMigrate VolumeAction "os-migrate_volume" since 0 => actions::migrate;
    VolumeMigrateCompletion VolumeAction "os-migrate_volume_completion" since 0 => actions::migrate_completion;
    VolumeUpload VolumeAction "os-volume_upload_image" since 0 => images::save;
    VolumeReserve VolumeAction "os-reserve" since 0 => connections::reserve;
    VolumeUnreserve VolumeAction "os-unreserve" since 0 => connections::unreserve;
    VolumeBeginDetaching VolumeAction "os-begin_detaching" since 0 => connections::begin_detaching;
    VolumeRollDetaching VolumeAction "os-roll_detaching" since 0 => connections::roll_detaching;
    VolumeInitialize VolumeAction "os-initialize_connection" since 0 => connections::initialize;
    VolumeTerminate VolumeAction "os-terminate_connection" since 0 => connections::terminate;
    VolumeReimage VolumeAction "os-reimage" since 68 => images::reimage;
    SnapshotForceDelete SnapshotAction "os-force_delete" since 0 => snapshots::force_delete;
    SnapshotReset SnapshotAction "os-reset_status" since 0 => snapshots::reset;
    SnapshotStatus SnapshotAction "os-update_snapshot_status" since 0 => snapshots::update_status;
    SnapshotUnmanage SnapshotAction "os-unmanage" since 0 => manage::snapshot_release;
    AttachmentComplete AttachmentAction "os-complete" since 44 => attachments::complete;
    BackupForceDelete BackupAction "os-force_delete" since 0 => backups::force_delete;
    BackupReset BackupAction "os-reset_status" since 0 => backups::reset;
    TypeAddAccess TypeAction "addProjectAccess" since 0 => types::access::add;
    TypeRemoveAccess TypeAction "removeProjectAccess" since 0 => types::access::remove;
    GroupDelete GroupAction "delete" since 13 => groups::delete;
    GroupReset GroupAction "reset_status" since 20 => groups::reset;
    GroupEnableReplication GroupAction "enable_replication" since 38 => groups::not_replicated;
    GroupDisableReplication GroupAction "disable_replication" since 38 => groups::not_replicated;
    GroupFailoverReplication GroupAction "failover_replication" since 38 => groups::not_replicated;
    GroupReplicationTargets GroupAction "list_replication_targets" since 38 => groups::not_replicated;
    GroupSnapshotReset GroupSnapshotAction "reset_status" since 19 => group_snapshots::reset;
    }
}

impl Endpoint {
    /// Stands for a group of actions that the body tells apart; no operation by itself.
    pub(crate) fn is_action_group(self) -> bool {
        matches!(
            self,
            Endpoint::VolumeAction
                | Endpoint::SnapshotAction
                | Endpoint::AttachmentAction
                | Endpoint::BackupAction
                | Endpoint::TypeAction
                | Endpoint::GroupAction
                | Endpoint::GroupSnapshotAction
        )
    }

    /// Makes something that the caller's project owns.
    pub(crate) fn makes_in_project(self) -> bool {
        matches!(
            self,
            Endpoint::VolumeCreate
                | Endpoint::VolumeManage
                | Endpoint::VolumeManageNew
                | Endpoint::GroupCreate
                | Endpoint::GroupCreateFrom
                | Endpoint::BackupImport
                | Endpoint::TransferAccept
                | Endpoint::OldTransferAccept
                | Endpoint::ConsistencyGroupCreate
        )
    }

    /// Answered without a token.
    pub(crate) fn is_public(self) -> bool {
        matches!(
            self,
            Endpoint::IdentityVersions
                | Endpoint::IdentityVersion
                | Endpoint::TokenIssue
                | Endpoint::ImageVersions
                | Endpoint::ImageVersion
                | Endpoint::Versions
                | Endpoint::Version
        )
    }

    /// An operation of Identity, with its own form of errors and no microversions.
    pub(crate) fn is_identity(self) -> bool {
        self.title().contains(" /identity")
    }

    /// A document that tells where Identity is.
    pub(crate) fn is_identity_version(self) -> bool {
        matches!(self, Endpoint::IdentityVersions | Endpoint::IdentityVersion)
    }

    /// An operation of Image, without microversions.
    pub(crate) fn is_image(self) -> bool {
        self.title().contains(" /image")
    }
}
