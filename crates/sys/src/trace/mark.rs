//! A mark: a system call that does nothing but tell a tracer where the program has got to.
#![allow(unsafe_code)]

/// First argument of the `prctl` that is a mark; no option of the kernel has this number.
pub(super) const MAGIC: u64 = 0x5748_4152;

/// Tells a tracer, if there is one, that phase `phase` begins here.
///
/// It is a `prctl` with an option that does not exist: untraced it fails with `EINVAL` in a few
/// hundred nanoseconds and changes nothing.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn mark(phase: u64) {
    // Written in place, so that the first instruction after the mark is the caller's own.
    // SAFETY: the kernel knows no such option and returns EINVAL without touching memory; a system
    // call overwrites rax, rcx and r11 only, and all three are declared.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") libc::SYS_prctl => _,
            in("rdi") MAGIC,
            in("rsi") phase,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
}

/// Tells a tracer, if there is one, that phase `phase` begins here.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub fn mark(phase: u64) {
    // SAFETY: the kernel knows no such option and returns EINVAL without touching memory.
    unsafe {
        libc::prctl(MAGIC as libc::c_int, phase);
    }
}
