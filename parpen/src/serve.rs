//! The server: wiring, start, stop.

mod cloud;
mod copies;
mod doors;
mod logs;
mod metrics;
mod reach;
mod wiring;

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use parpen_base::{Clock, Entropy, SystemClock, SystemEntropy};
use parpen_block::Gate;
use parpen_meta::{DataDir, Store};
use parpen_model::Api;
use parpen_nbd::{Limits, Server};
use parpen_ring::{Backend, Handle, Reactor};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::prelude::*;

use crate::config::Settings;
use crate::drivers::LocalDrivers;
use crate::files::{self, RunFile};

/// What NBD connections may cost together.
const NBD_LIMITS: Limits = Limits { connections: 256, memory: 256 << 20, patience: Duration::from_secs(30) };
/// How long requests and connections under way may take to end after SIGTERM.
const DRAIN: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT.
pub fn serve(s: Settings) -> anyhow::Result<()> {
    let (layer, handle) = tracing_subscriber::reload::Layer::new(logs::filter(&s.log)?);
    let colours = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_ansi(colours).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(layer).with(lines).init();
    let logs = Arc::new(logs::Filter::new(handle, &s.log));
    raise_descriptors();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("control")
        .enable_all()
        .build()
        .context("the control runtime cannot start")?;
    let ended = runtime.block_on(run(s, logs));
    // Jobs that did not end in time stay where they are; the next start takes them up.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

async fn run(s: Settings, logs: Arc<logs::Filter>) -> anyhow::Result<()> {
    if s.data_dir.exists() && !s.data_dir.is_dir() {
        anyhow::bail!("{} is no directory", s.data_dir.display());
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let cloud = cloud::Cloud::open(&s.identity, &s.images, clock.clone())?;
    let data = DataDir::lock(&s.data_dir)?;
    // Bound before anything is made: a busy port leaves no half of a house behind.
    let mut doors = doors::open(&s, data.path()).await?;
    doors.run.identity = cloud.identity.as_ref().map(|i| i.address.clone());
    let store = Arc::new(Store::open(&data.database())?);
    let reactors = start_reactors(s.engine.reactors()?)?;
    let reactor = reactors[0].clone();
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
    let keep = |secrets: &parpen_identity::Secrets| {
        files::write_secrets(data.path(), secrets)
            .map_err(|e| parpen_model::Condition::Unavailable(format!("{e:#}")))
    };
    let kept = files::kept_secrets(data.path())?;
    let known = kept.is_some();
    parpen_identity::bootstrap(&*store, &*entropy, &*clock, kept, keep).await?;
    let gate = Gate::new();
    let drivers = LocalDrivers::new(data.path().to_path_buf(), reactors.clone(), entropy.clone());
    let drivers = Arc::new(drivers.with_map_cache(s.engine.map_cache()?));
    let settings = (&s.backups, &s.images, &s.keys);
    let (copies, bucket) =
        copies::copies(settings, cloud.images.as_ref(), data.path(), clock.clone(), &*entropy)?;
    let elsewhere = reach::Elsewhere {
        identity: cloud.identity.as_ref().map(|i| i.account.clone()),
        images: copies.images.clone(),
        bucket,
    };
    let (ports, exports, runner) = parpen_service::start(parpen_service::Start {
        meta: store.clone(),
        drivers: drivers.clone(),
        copies,
        home: Arc::new(reactor.clone()),
        gate: gate.clone(),
        clock: clock.clone(),
        entropy: entropy.clone(),
        restored: data.is_restored(),
    })
    .await?;
    data.settled()?;
    let (stop, stopped) = watch::channel(false);
    let jobs = tokio::spawn(runner.run(stopped.clone()));
    let admin = parpen_identity::login(&*store, Api::Native, parpen_identity::Login::Local).await?;
    parpen_service::first_pools(&ports, &admin).await?;
    parpen_service::open_pools(&ports).await;

    let nbd = Arc::new(Server::start(&reactors, doors.nbd, Arc::new(exports.clone()), NBD_LIMITS));
    let metrics = Arc::new(metrics::Metrics::new(gate, nbd.clone(), ports.alarms.clone()));
    let alarms = tokio::spawn(parpen_service::alarms::keep_watch(ports.clone(), stopped.clone()));
    let apis = wiring::apis(
        &s,
        wiring::Parts {
            ports,
            exports,
            nbd: doors.nbd_address,
            nbd_socket: doors.run.nbd_socket.clone(),
            data: data.path().to_path_buf(),
            metrics: metrics.clone(),
            logs,
            bearers: cloud.identity.map(|i| i.bearers(store.clone(), clock.clone())),
            images_at: cloud.images.map(|i| i.address),
        },
    );
    let everything =
        Arc::new(parpen_http::Server::new(apis.all, clock.clone(), entropy.clone(), metrics.clone()));
    let on_socket =
        Arc::new(parpen_http::Server::new(apis.socket, clock.clone(), entropy.clone(), metrics.clone()));
    let mut servers = vec![tokio::spawn(everything.serve(doors.http, stopped.clone(), DRAIN))];
    if let Some(listener) = doors.lxd {
        servers.push(tokio::spawn(on_socket.serve(listener, stopped.clone(), DRAIN)));
    }
    doors.run.write(data.path())?;
    let mut notes = drivers.notes();
    if !known && files::kept_secrets(data.path())?.is_none() {
        notes.push("credentials.json is missing: nobody can be told the secrets; put it back".into());
    }
    print!("{}", doors::table(&s, &doors.run, &notes, reactor.backend(), &doors.warnings));

    let looked = tokio::spawn(async move {
        for complaint in elsewhere.complaints(reach::PATIENCE).await {
            tracing::warn!("{complaint}");
        }
    });
    tracing::info!(http = doors.run.http, nbd = doors.run.nbd, version = doors.run.version, "serving");

    wait_for_signal().await?;
    tracing::info!("stopping: no new work, open connections have 5 s");
    stop.send_replace(true);
    looked.abort();
    alarms.await.context("the watch over alarms ended badly")?;
    let nbd_drain = tokio::task::spawn_blocking(move || nbd.drain(DRAIN));
    for server in servers {
        server.await.context("a listener ended badly")?;
    }
    let cut = nbd_drain.await.context("NBD could not be drained")?;
    if cut > 0 {
        tracing::warn!(cut, "connections that did not end in time were cut");
    }
    if let Ok(ended) = tokio::time::timeout(DRAIN, jobs).await {
        ended.context("the job runner ended badly")??;
    }
    for reactor in &reactors {
        reactor.shutdown();
        reactor.join().context("a reactor ended badly")?;
    }
    store.close();
    RunFile::remove(data.path());
    if let Some(socket) = &doors.run.nbd_socket
        && let Err(e) = std::fs::remove_file(socket)
    {
        tracing::warn!(error = %e, "the NBD socket could not be removed");
    }
    tracing::info!("stopped");
    Ok(())
}

/// The threads that move data.
fn start_reactors(count: usize) -> anyhow::Result<Vec<Handle>> {
    let start = |n: usize| match n {
        0 => Reactor::start("reactor", Backend::Auto),
        n => Reactor::start(&format!("reactor-{n}"), Backend::Auto),
    };
    (0..count).map(|n| start(n).context("a reactor cannot start")).collect()
}

/// Every connection is a descriptor: take as many as the system gives us.
fn raise_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(e) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(error = %e, "the limit of open files stays as it is");
    }
}

async fn wait_for_signal() -> anyhow::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}
