//! The names that the house's ids have here.

use parpen_model::{ProjectId, VolumeId};

/// How many letters follow the dash.
const LETTERS: usize = 20;

/// Twenty lower-case letters: the lowest 94 bits of the id in base 26, so that one id always gives one text.
fn letters(id: VolumeId) -> String {
    let mut rest = id.0.as_u128();
    let mut text = [0u8; LETTERS];
    for letter in text.iter_mut().rev() {
        *letter = b'a' + (rest % 26) as u8;
        rest /= 26;
    }
    text.iter().map(|b| char::from(*b)).collect()
}

/// The disk that a volume is.
pub(crate) fn disk(id: VolumeId) -> String {
    format!("disk-{}", letters(id))
}

/// The deployment of a disk, which the first API shows.
pub(crate) fn deployment(id: VolumeId) -> String {
    format!("dep-{}", letters(id))
}

/// The one component of that deployment.
pub(crate) fn component(id: VolumeId) -> String {
    format!("inst-{}", letters(id))
}

/// A project.
pub(crate) fn project(id: ProjectId) -> String {
    format!("project-{}", id.0.simple())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use parpen_base::{Entropy, SeededEntropy};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn guids_have_the_platforms_form() {
        let id = VolumeId(Uuid::from_u128(27));
        assert_eq!(disk(id), "disk-aaaaaaaaaaaaaaaaaabb");
        assert_eq!(deployment(id), "dep-aaaaaaaaaaaaaaaaaabb");
        assert_eq!(disk(VolumeId(Uuid::max())).len(), "disk-".len() + 20);
        let project = project(ProjectId(Uuid::from_u128(0xabc)));
        assert_eq!(project, "project-00000000000000000000000000000abc");
    }

    #[test]
    fn ten_thousand_volumes_have_as_many_guids() {
        let entropy = SeededEntropy::new(7);
        let guids: HashSet<String> = (0..10_000).map(|_| disk(VolumeId(entropy.uuid()))).collect();
        assert_eq!(guids.len(), 10_000);
    }
}
