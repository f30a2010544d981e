//! What can stand between a queue's user and its device. Each filter wraps a queue; those that a whole device needs
//! wrap the device and put themselves around each queue that it opens.

mod answers;
mod check;

pub(crate) use answers::Answers;
pub(crate) use check::Check;
