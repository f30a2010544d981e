use super::*;

fn package(name: &str, deps: &[(&str, Option<&str>)]) -> Package {
    Package {
        id: name.to_owned(),
        name: name.to_owned(),
        manifest_path: format!("/x/layer/{name}/Cargo.toml"),
        targets: Vec::new(),
        dependencies: deps
            .iter()
            .map(|(name, kind)| Dependency { name: (*name).to_owned(), kind: kind.map(str::to_owned) })
            .collect(),
    }
}

/// A graph in which every package but `members` is foreign.
fn graph(packages: Vec<Package>, members: &[&str]) -> Metadata {
    let node = |package: &Package| Node {
        id: package.id.clone(),
        deps: package
            .dependencies
            .iter()
            .map(|dep| NodeDep { pkg: dep.name.clone(), dep_kinds: vec![DepKind { kind: dep.kind.clone() }] })
            .collect(),
    };
    Metadata {
        resolve: Some(Resolve { nodes: packages.iter().map(node).collect() }),
        packages,
        workspace_members: members.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn messages(name: &str, deps: &[(&str, Option<&str>)]) -> Vec<String> {
    let mut packages = vec![package(name, deps)];
    let mut members = vec![name];
    for (dep, _) in deps {
        packages.push(package(dep, &[]));
        if dep.starts_with("parpen") {
            members.push(dep);
        }
    }
    let findings = check(&graph(packages, &members));
    findings.into_iter().filter(|f| f.path.contains(&format!("/{name}/"))).map(|f| f.message).collect()
}

#[test]
fn arrows_go_down_only() {
    assert_eq!(messages("parpen-service", &[("parpen-model", None)]), Vec::<String>::new());
    assert_eq!(messages("parpen-model", &[("parpen-service", None)]).len(), 1);
    assert_eq!(messages("parpen-openstack", &[("parpen-meta", None)]).len(), 1);
    assert_eq!(messages("parpen-openstack", &[("parpen-engine", None)]).len(), 1);
    assert_eq!(messages("parpen-openstack", &[("parpen-storpool", None)]).len(), 1);
    for above in ["parpen-model", "parpen-http", "parpen-service"] {
        assert_eq!(messages("parpen-nbd", &[(above, None)]).len(), 1, "{above}");
    }
}

#[test]
fn test_dependencies_may_look_up_but_not_at_the_binary() {
    assert_eq!(messages("parpen-service", &[("parpen-meta", Some("dev"))]), Vec::<String>::new());
    assert_eq!(messages("parpen-service", &[("parpen", Some("dev"))]).len(), 1);
}

#[test]
fn the_model_is_written_with_five_libraries() {
    assert_eq!(messages("parpen-model", &[("serde", None), ("uuid", None)]), Vec::<String>::new());
    assert_eq!(messages("parpen-model", &[("tracing", None)]).len(), 1);
}

#[test]
fn libraries_stay_in_their_layer() {
    assert_eq!(messages("parpen-service", &[("hyper", None)]).len(), 1);
    assert_eq!(messages("parpen-service", &[("rusqlite", None)]).len(), 1);
    assert_eq!(messages("parpen-engine", &[("io-uring", None)]).len(), 1);
    assert_eq!(messages("parpen-ring", &[("io-uring", None)]), Vec::<String>::new());
    assert_eq!(messages("parpen-meta", &[("rusqlite", None)]), Vec::<String>::new());
}

#[test]
fn the_data_path_does_not_reach_tokio_even_through_others() {
    let packages = vec![
        package("parpen-engine", &[("helper", None)]),
        package("helper", &[("tokio", None)]),
        package("tokio", &[]),
    ];
    assert_eq!(check(&graph(packages, &["parpen-engine"])).len(), 1);
    let packages = vec![
        package("parpen-engine", &[("helper", Some("dev"))]),
        package("helper", &[("tokio", None)]),
        package("tokio", &[]),
    ];
    assert_eq!(check(&graph(packages, &["parpen-engine"])), []);
}

#[test]
fn a_new_crate_needs_a_place() {
    assert_eq!(messages("parpen-new", &[]).len(), 1);
}
