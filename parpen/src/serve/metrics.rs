//! Figures for Prometheus.

use std::sync::Arc;
use std::time::Duration;

use parpen_block::Gate;
use parpen_service::alarms::Alarms;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    api: String,
    endpoint: String,
    status: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ApiLabels {
    api: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlarmLabels {
    kind: String,
    pool: String,
    /// Empty where it is about no disk.
    disk: String,
    severity: String,
}

/// All figures of the process.
pub struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<ApiLabels, Histogram>,
    sessions: Gauge,
    connections: Gauge,
    standing: Family<AlarmLabels, Gauge>,
    alarms: Alarms,
    gate: Gate,
    nbd: Arc<parpen_nbd::Server>,
}

impl Metrics {
    /// Figures of requests, sessions, NBD connections and alarms.
    pub fn new(gate: Gate, nbd: Arc<parpen_nbd::Server>, alarms: Alarms) -> Metrics {
        let mut registry = Registry::with_prefix("parpen");
        let requests = Family::<RequestLabels, Counter>::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        let seconds = Family::<ApiLabels, Histogram>::new_with_constructor(|| {
            Histogram::new(exponential_buckets(0.0005, 4.0, 9))
        });
        registry.register("http_request_seconds", "Time to answer", seconds.clone());
        let (sessions, connections) = (Gauge::default(), Gauge::default());
        registry.register("sessions", "Open sessions on devices", sessions.clone());
        registry.register("nbd_connections", "Open NBD connections", connections.clone());
        let standing = Family::<AlarmLabels, Gauge>::default();
        registry.register("alarms", "Alarms that stand: 1 for each", standing.clone());
        Metrics { registry, requests, seconds, sessions, connections, standing, alarms, gate, nbd }
    }

    /// The text of `/metrics`.
    pub fn text(&self) -> String {
        self.sessions.set(self.gate.all_sessions().len() as i64);
        self.connections.set(self.nbd.connection_count() as i64);
        self.standing.clear();
        for a in self.alarms.current() {
            let disk = a.disk.map(|d| d.to_string()).unwrap_or_default();
            let severity = a.severity.word().into();
            let labels = AlarmLabels { kind: a.kind.into(), pool: a.pool, disk, severity };
            self.standing.get_or_create(&labels).set(1);
        }
        let mut out = String::new();
        match encode(&mut out, &self.registry) {
            Ok(()) => out,
            Err(e) => {
                tracing::error!(error = %e, "the metrics could not be printed");
                String::new()
            }
        }
    }
}

impl parpen_http::Metrics for Metrics {
    fn request(&self, api: &'static str, endpoint: &str, status: u16, took: Duration) {
        let labels = RequestLabels { api: api.into(), endpoint: endpoint.into(), status: status.into() };
        self.requests.get_or_create(&labels).inc();
        self.seconds.get_or_create(&ApiLabels { api: api.into() }).observe(took.as_secs_f64());
    }
}
