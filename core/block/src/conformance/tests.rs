use super::*;
use crate::testing::ThreadHome;
use crate::{Capabilities, Completion, Geometry, Home, Memory, Op, Queue, Refusal, Request, Wake};

/// Memory that lives on a home and answers from there, in odd order; `fault` makes it wrong in one way.
struct Homed {
    memory: Memory,
    home: Arc<ThreadHome>,
    fault: Fault,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    LosesTail,
    RoundsZeroes,
    AnswersTwice,
    KeepsBuffers,
    Overfills,
}

impl BlockDevice for Homed {
    fn geometry(&self) -> Geometry {
        self.memory.geometry()
    }
    fn capabilities(&self) -> Capabilities {
        self.memory.capabilities()
    }
    fn home(&self) -> Option<Arc<dyn Home>> {
        Some(self.home.clone())
    }
    fn open(&self, depth: u16, wake: Wake) -> Result<Box<dyn Queue>, Refusal> {
        let inner =
            self.memory.open(if self.fault == Fault::Overfills { 2 * depth } else { depth }, wake.clone())?;
        Ok(Box::new(HomedQueue { inner, back: Vec::new(), again: None, fault: self.fault }))
    }
}

struct HomedQueue {
    inner: Box<dyn Queue>,
    back: Vec<Completion>,
    again: Option<u32>,
    fault: Fault,
}

impl Queue for HomedQueue {
    fn submit(&mut self, mut r: Request) -> Result<(), Request> {
        if self.fault == Fault::RoundsZeroes && matches!(r.op, Op::Zero { .. }) && r.offset > 512 {
            r.offset &= !511;
        }
        self.inner.submit(r)
    }
    fn kick(&mut self) {
        self.inner.kick();
    }
    fn reap(&mut self) -> Option<Completion> {
        while let Some(c) = self.inner.reap() {
            self.back.push(c);
        }
        if let Some(tag) = self.again.take() {
            return Some(Completion { tag, result: Ok(4096), buf: None, all_zero: false });
        }
        let mut c = self.back.pop()?;
        match (self.fault, &mut c.buf) {
            (Fault::LosesTail, Some(b)) if b.len() > 4096 => *b.last_mut().unwrap() = 0,
            (Fault::KeepsBuffers, b) => *b = None,
            (Fault::AnswersTwice, _) if c.result == Ok(4096) => self.again = Some(c.tag),
            _ => {}
        }
        Some(c)
    }
}

fn homed(fault: Fault) -> impl Fn(u64) -> TestDevice {
    move |size| {
        let home = ThreadHome::start();
        let device = Homed { memory: Memory::new(size), home: home.clone(), fault };
        TestDevice::new(Arc::new(device)).ending(move || home.stop())
    }
}

#[test]
fn memory_conforms() {
    run(|size| TestDevice::new(Arc::new(Memory::new(size))));
}

#[test]
fn a_device_with_a_home_conforms() {
    run(homed(Fault::None));
}

#[test]
fn wrong_devices_are_found_out() {
    let faults =
        [Fault::LosesTail, Fault::RoundsZeroes, Fault::AnswersTwice, Fault::KeepsBuffers, Fault::Overfills];
    for fault in faults {
        let caught = std::panic::catch_unwind(|| run(homed(fault)));
        assert!(caught.is_err(), "fault {} passed", fault as u8);
    }
}
