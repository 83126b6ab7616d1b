//! A mapped region as places in memory: the participant table, the root.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use wharf_sys::memory::{Access, Mapping};

use super::header::{Header, PAGE, Plan};
use crate::participant::{Slot, Waits};

/// A mapping and where things lie in it. The two were checked against each other, so every place is inside.
#[derive(Debug)]
pub(crate) struct Memory {
    mapping: Mapping,
    plan: Plan,
}

impl Memory {
    /// Joins a mapping with the plan of its header; `None` if the plan does not fit.
    pub(crate) fn new(mapping: Mapping, plan: Plan) -> Option<Memory> {
        (mapping.len() == plan.len).then_some(Memory { mapping, plan })
    }

    /// Where everything lies.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The first byte.
    pub(crate) fn start(&self) -> NonNull<u8> {
        // A mapping never starts at zero; a dangling pointer keeps this total without a panic.
        NonNull::new(self.mapping.as_ptr()).unwrap_or(NonNull::dangling())
    }

    /// Whether this process may write it.
    pub(crate) fn is_writable(&self) -> bool {
        matches!(self.mapping.access(), Access::ReadWrite)
    }

    /// The participant table.
    pub(crate) fn slots(&self) -> &[Slot] {
        // SAFETY: the table starts inside the mapping: a plan has at least one page after the header page.
        let first = unsafe { self.start().add(PAGE) }.cast::<Slot>();
        // SAFETY: the plan keeps `max_participants` slots of 64 bytes between the header page and the root, on a
        // page boundary; a slot is atomics only, valid for all bytes and for writers in other processes, and lives
        // as long as the mapping that the result borrows.
        unsafe { std::slice::from_raw_parts(first.as_ptr(), self.plan.max_participants as usize) }
    }

    /// What the participants wait for, slot by slot.
    pub(crate) fn waits(&self) -> &[Waits] {
        // SAFETY: every plan has its table of waits inside the mapping.
        let first = unsafe { self.start().add(self.plan.waits_offset()) }.cast::<Waits>();
        // SAFETY: the plan keeps `max_participants` records of 128 bytes between the slots and the root, at a multiple
        // of 64; a record is atomics only, valid for all bytes and for writers in other processes, and lives as long
        // as the mapping that the result borrows.
        unsafe { std::slice::from_raw_parts(first.as_ptr(), self.plan.max_participants as usize) }
    }

    /// The first byte of the root, on a page boundary, with `root_len` bytes behind it.
    pub(crate) fn root(&self) -> NonNull<u8> {
        // SAFETY: every plan has its root inside the mapping.
        unsafe { self.start().add(self.plan.root_offset) }
    }

    /// Writes the header page of a region under construction, before anybody else can map it.
    pub(crate) fn write_header(&mut self, header: &Header) {
        debug_assert!(self.is_writable());
        let page = header.to_page();
        // SAFETY: the first page is inside the writable mapping, and the region has no name yet, so nobody else
        // reads or writes it; the source is private memory.
        unsafe { self.start().as_ptr().copy_from_nonoverlapping(page.as_ptr(), PAGE) };
    }

    /// Writes the first value of the root of a region under construction, before anybody else can map it.
    ///
    /// Returns false, and writes nothing, if the root has another size or too small an alignment.
    pub(crate) fn write_root<T: crate::Shared>(&mut self, value: T) -> bool {
        if self.plan.root_len != size_of::<T>() || align_of::<T>() > PAGE || !self.is_writable() {
            return false;
        }
        // SAFETY: the root has the size of a `T` on a page boundary inside the writable mapping, and the region has
        // no name yet. A `Shared` type holds no address and needs no drop, so its bytes may move there.
        unsafe { self.root().cast::<T>().write(value) };
        true
    }
}
