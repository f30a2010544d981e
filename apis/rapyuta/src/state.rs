//! The words for a disk's state.

use parpen_base::GIB;
use parpen_model::Volume;
use parpen_model::lifecycle::{Health, Life, Usage, Work};
use parpen_service::volumes::View;

/// A disk's status. The platform has `Released` too, for a disk that is free again; here that one is available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Pending,
    Available,
    Bound,
    Failed,
}

impl Status {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Status::Pending => "Pending",
            Status::Available => "Available",
            Status::Bound => "Bound",
            Status::Failed => "Failed",
        }
    }
}

/// The status that all four axes together give.
pub(crate) fn status(life: Life, usage: Usage, work: &[Work], health: Health) -> Status {
    match (life, health, usage) {
        (Life::Creating | Life::Deleting, _, _) => Status::Pending,
        (Life::Error, _, _) => Status::Failed,
        (Life::Ready, Health::DataLost | Health::Down, _) => Status::Failed,
        (Life::Ready, _, Usage::Reserved | Usage::Attaching | Usage::Attached | Usage::Detaching) => {
            Status::Bound
        }
        // A volume that is only read for a copy is as good as any other.
        (Life::Ready, Health::Up | Health::UpSoon, Usage::Free) => {
            match work.iter().any(|w| matches!(w, Work::Resizing | Work::RollingBack | Work::Freezing)) {
                true => Status::Pending,
                false => Status::Available,
            }
        }
    }
}

/// The status of a volume.
pub(crate) fn of(v: &Volume) -> Status {
    status(v.life, v.usage, &v.work, v.health)
}

/// The phase of the deployment that the first API shows of a volume.
pub(crate) fn phase(v: &Volume) -> &'static str {
    match (v.life, of(v)) {
        (Life::Creating, _) => "Provisioning",
        (Life::Deleting, _) => "Partially deprovisioned",
        (Life::Error, _) | (Life::Ready, Status::Failed) => "Failed to start",
        (Life::Ready, Status::Pending | Status::Available | Status::Bound) => "Succeeded",
    }
}

/// The capacity in GiB, rounded up.
pub(crate) fn capacity(v: &Volume) -> u64 {
    v.size.div_ceil(GIB)
}

/// Who uses a volume, in the words of the side by which it was attached.
pub(crate) fn user(view: &View) -> Option<String> {
    let first = view.attachments.first()?;
    let host = first.host.as_ref().map(|h| h.name.clone());
    host.or_else(|| first.attachment.instance.clone()).or_else(|| Some(first.attachment.id.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_status() {
        use Health::*;
        let free = |life, work: &[Work], health| status(life, Usage::Free, work, health);
        assert_eq!(free(Life::Ready, &[], Up), Status::Available);
        assert_eq!(free(Life::Ready, &[Work::Copying], UpSoon), Status::Available);
        assert_eq!(free(Life::Ready, &[Work::RollingBack], Up), Status::Pending);
        assert_eq!(free(Life::Ready, &[Work::Resizing], Up), Status::Pending);
        for usage in Usage::ALL.iter().filter(|u| **u != Usage::Free) {
            assert_eq!(status(Life::Ready, *usage, &[], Up), Status::Bound, "{usage}");
            assert_eq!(status(Life::Ready, *usage, &[], Down), Status::Failed, "{usage}");
        }
        assert_eq!(free(Life::Ready, &[], DataLost), Status::Failed);
        assert_eq!(free(Life::Error, &[], Up), Status::Failed);
        assert_eq!(free(Life::Creating, &[], Up), Status::Pending);
        assert_eq!(free(Life::Deleting, &[], Up), Status::Pending);
    }
}
