//! Where the programs at an uplink stand among those of others, at TCX.

use std::{fs, os::fd::AsFd as _, path::PathBuf};

use aya::programs::{SchedClassifier, TcAttach, links::FdLink};

use crate::{
    Dataplane, Hook,
    attach::{
        discard,
        hook::{TcxOrder, UPLINK, UPLINK_L3},
        program_of,
    },
    bpf,
    load::missing,
};
use fwd_base::{Context as _, Result};

impl Dataplane {
    /// Whether the programs at an uplink stand before or behind all others at TCX, in both directions. None that is not attached stands elsewhere.
    ///
    /// # Errors
    /// The kernel does not list them.
    pub fn is_uplink_ordered(&self, ifindex: u32, order: TcxOrder) -> Result<bool> {
        for hook in self.linked_hooks(ifindex) {
            let asked = SchedClassifier::query_tcx(ifindex, hook.attach_type());
            let programs = asked.doing("list", format!("programs at interface {ifindex}"))?.1;
            let outermost = match order {
                TcxOrder::First => programs.first(),
                TcxOrder::Last => programs.last(),
            };
            if outermost.map(|program| program.id()) != program_of(&self.pin_of(hook, ifindex)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Puts the programs at an uplink before or behind those of others; does nothing where none is attached by TCX. The kernel neither moves a
    /// link nor attaches a program twice to an interface (kernel/bpf/mprog.c): another instance of it is attached at the new place, then the
    /// former link goes, and the program takes the place of that instance. So no packet passes unseen; what the first leaves to the kernel
    /// meanwhile is looked at, and counted, twice.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn order_uplink(&self, ifindex: u32, order: TcxOrder) -> Result<()> {
        self.discard_moved(ifindex)?;
        self.linked_hooks(ifindex).try_for_each(|hook| self.move_link(hook, ifindex, order))
    }

    /// Removes what an interrupted move has left: the former link is there as long as its pin is.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn discard_moved(&self, ifindex: u32) -> Result<()> {
        UPLINK.into_iter().chain(UPLINK_L3).try_for_each(|hook| discard(&self.moved_pin(hook, ifindex)))
    }

    fn linked_hooks(&self, ifindex: u32) -> impl Iterator<Item = Hook> {
        UPLINK.into_iter().chain(UPLINK_L3).filter(move |hook| self.pin_of(*hook, ifindex).exists())
    }

    fn move_link(&self, hook: Hook, ifindex: u32, order: TcxOrder) -> Result<()> {
        let (name, object) = (hook.program(), || format!("program {} at interface {ifindex}", hook.program()));
        let (pin, beside) = (self.pin_of(hook, ifindex), self.moved_pin(hook, ifindex));
        let former = bpf::get(&pin).doing("move", object())?;
        let mut ebpf = self.object_over_pins()?;
        let instance = ebpf.program_mut(name).ok_or_else(|| missing(name))?;
        let instance: &mut SchedClassifier = instance.try_into().doing("open", object())?;
        instance.load().doing("load", object())?;
        let attach = TcAttach::Tcx { attach_type: hook.attach_type(), order: order.link_order() };
        let id = instance.attach(ifindex, attach).doing("move", object())?;
        let link: FdLink = instance.take_link(id).doing("move", object())?.try_into().doing("move", object())?;
        link.pin(&beside).doing("pin", object())?;
        fs::rename(&beside, &pin).doing("rename", beside.display().to_string())?;
        bpf::detach(&former).doing("move", object())?;
        let program = self.program(name)?;
        bpf::update(&pin, program.fd().doing("move", object())?.as_fd()).doing("move", object())
    }

    /// Where the link at the new place is pinned until it takes the place of the former one. bpffs takes no dots in names.
    fn moved_pin(&self, hook: Hook, ifindex: u32) -> PathBuf {
        self.links().join(format!("{}_moved-{ifindex}", hook.program()))
    }
}
