//! The three roles of this API and what they mean in the house.

use parpen_identity::Power;

/// A role. They are flat: none implies another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    User,
    Admin,
    UberAdmin,
}

impl Role {
    pub(crate) const ALL: [Role; 3] = [Role::User, Role::Admin, Role::UberAdmin];

    pub(crate) fn word(self) -> &'static str {
        match self {
            Role::User => "USER_ROLE",
            Role::Admin => "ADMIN_ROLE",
            Role::UberAdmin => "UBER_ADMIN_ROLE",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|r| r.word() == word)
    }

    /// What a caller must be able to do to have it.
    pub(crate) fn power(self) -> Power {
        match self {
            Role::User => Power::Read,
            Role::Admin => Power::Write,
            Role::UberAdmin => Power::Operate,
        }
    }
}
