//! Which APIs there are.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use parpen_cern::Cern;
use parpen_http::{Service, serve};
use parpen_identity::Bearers;
use parpen_lxd::Lxd;
use parpen_model::{Api, Condition};
use parpen_native::{House, Native, Rotate};
use parpen_openstack::OpenStack;
use parpen_rapyuta::Rapyuta;
use parpen_service::{HouseExports, Ports};
use parpen_storpool::StorPool;

use super::logs::Filter;
use super::metrics::Metrics;
use crate::config::Settings;
use crate::files;

/// What APIs are made from.
pub struct Parts {
    /// The use cases' ports.
    pub ports: Ports,
    /// The way to the bytes.
    pub exports: HouseExports,
    /// NBD's address.
    pub nbd: SocketAddr,
    /// NBD's socket.
    pub nbd_socket: Option<PathBuf>,
    /// The data directory.
    pub data: PathBuf,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// The filter of what is logged.
    pub logs: Arc<Filter>,
    /// Who stands behind the OpenStack side's tokens, if it is not this service.
    pub bearers: Option<Arc<dyn Bearers>>,
    /// Where images are, if they are not kept here.
    pub images_at: Option<String>,
}

impl Parts {
    fn nbd_door(&self) -> parpen_openstack::Nbd {
        let host = self.nbd.ip().to_string();
        parpen_openstack::Nbd { host, port: self.nbd.port(), socket: self.nbd_socket.clone() }
    }
}

/// The APIs of each door.
pub struct Served {
    /// On the HTTP address.
    pub all: Vec<Arc<dyn Service>>,
    /// On the LXD side's socket.
    pub socket: Vec<Arc<dyn Service>>,
}

/// Every API over the same ports. The first that claims a path serves it.
pub fn apis(s: &Settings, p: Parts) -> Served {
    let config = parpen_openstack::Config {
        public: None,
        region: "RegionOne".into(),
        nbd: p.nbd_door(),
        images_at: p.images_at.clone(),
    };
    let openstack = OpenStack::new(p.ports.clone(), config).with_logs(p.logs.clone());
    let openstack = serve(match p.bearers.clone() {
        Some(bearers) => openstack.with_bearers(bearers),
        None => openstack,
    });
    let storpool = serve(StorPool::new(p.ports.clone()));
    let lxd = serve(Lxd::new(p.ports.clone(), env!("CARGO_PKG_VERSION")));
    let cern = serve(Cern::new(p.ports.clone(), s.cern_anonymous_read));
    let rapyuta = serve(Rapyuta::new(p.ports.clone()));
    let metrics = p.metrics.clone();
    let native = serve(Native::new(House {
        ports: p.ports.clone(),
        exports: p.exports.clone(),
        nbd: p.nbd.to_string(),
        metrics: Arc::new(move || metrics.text()),
        rotate: rotate(p.ports.clone(), p.data.clone()),
        version: env!("CARGO_PKG_VERSION"),
    }));
    Served { all: vec![native, openstack, storpool, lxd.clone(), cern, rapyuta], socket: vec![lxd] }
}

/// New secrets go to the file before the database, so that no moment has a secret that nobody can read.
fn rotate(ports: Ports, data: PathBuf) -> Rotate {
    Arc::new(move |sides: Vec<Api>| {
        let (ports, data) = (ports.clone(), data.clone());
        Box::pin(async move {
            let say = |e: anyhow::Error| Condition::Unavailable(format!("{e:#}"));
            let old = files::read_secrets(&data).map_err(say)?;
            let keep = |new: &parpen_identity::Secrets| files::write_secrets(&data, new).map_err(say);
            parpen_identity::rotate(&*ports.meta, &*ports.entropy, &*ports.clock, old, &sides, keep).await
        })
    })
}
