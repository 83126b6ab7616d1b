//! The raw ptrace and wait calls, x86-64.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus};
use std::ptr;

/// A thread's number, as ptrace and wait name it.
pub(super) type Tid = libc::pid_t;

/// What the kernel reported about one thread.
pub(super) enum Report {
    /// The thread stands at a system call: it is about to enter or about to leave it.
    SystemCall,
    /// The thread stands after one instruction, or at a trap of its own making.
    Trap,
    /// A new thread was made; the maker stands.
    Clone,
    /// The process has just executed another program.
    Exec,
    /// A signal is about to be delivered.
    Signal(i32),
    /// The thread (or, for the last one, the process) is gone.
    Ended(ExitStatus),
}

/// How to let a stopped thread go on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Resume {
    /// Until the next signal or the end.
    Free,
    /// Until the next entry to or exit from a system call.
    ToSystemCall,
    /// For one instruction; a system call counts as one.
    OneInstruction,
}

/// On which side of a system call a thread stands.
pub(super) enum Side {
    /// About to run call `number` with `arguments`.
    Entry { number: u64, arguments: [u64; 6] },
    /// The call is done, its result not yet seen by the program.
    Exit,
    /// At no system call.
    None,
}

/// The registers that tell a mark before its `syscall` instruction runs.
pub(super) struct CallRegisters {
    pub(super) number: u64,
    pub(super) first: u64,
    pub(super) second: u64,
}

/// Makes the command start stopped under this thread, in a process group of its own.
pub(super) fn prepare(command: &mut Command) -> io::Result<()> {
    let tracer = std::process::id();
    let under_tracer = move || {
        check(set_group())?;
        check(die_with_tracer())?;
        if parent() != tracer {
            // The tracer died before the line above: nobody is left to trace.
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        check(trace_me())
    };
    // SAFETY: the closure runs in the forked child and makes system calls only: it takes no lock and
    // allocates nothing.
    unsafe { command.pre_exec(under_tracer) };
    Ok(())
}

fn set_group() -> libc::c_long {
    // SAFETY: changes the caller's process group only.
    unsafe { libc::setpgid(0, 0) }.into()
}

fn die_with_tracer() -> libc::c_long {
    // SAFETY: sets an attribute of the caller; no memory is involved.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) }.into()
}

fn parent() -> u32 {
    // SAFETY: always succeeds and touches no memory.
    unsafe { libc::getppid() }.unsigned_abs()
}

fn trace_me() -> libc::c_long {
    // SAFETY: asks to be traced by the parent; the other arguments are ignored.
    unsafe { libc::ptrace(libc::PTRACE_TRACEME) }
}

/// Asks for marked system-call stops, for threads to be followed and for death with the tracer.
pub(super) fn set_options(tid: Tid) -> io::Result<()> {
    let options =
        libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_EXITKILL;
    // SAFETY: the option bits travel by value in the data argument.
    check(unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, tid, 0, libc::c_long::from(options)) })
}

/// Lets a stopped thread go on, with `signal` delivered when it is not 0.
pub(super) fn resume(tid: Tid, how: Resume, signal: i32) -> io::Result<()> {
    let request = match how {
        Resume::Free => libc::PTRACE_CONT,
        Resume::ToSystemCall => libc::PTRACE_SYSCALL,
        Resume::OneInstruction => libc::PTRACE_SINGLESTEP,
    };
    // SAFETY: the signal travels by value in the data argument.
    check(unsafe { libc::ptrace(request, tid, 0, libc::c_long::from(signal)) })
}

/// The side of a system call on which a stopped thread stands.
pub(super) fn side(tid: Tid) -> io::Result<Side> {
    const ENTRY: u8 = 1;
    const EXIT: u8 = 2;
    let mut info = [0u64; 12];
    // The kernel fills: one byte of kind, then at byte 24 the number and six arguments (on entry).
    let room = size_of_val(&info);
    // SAFETY: the kernel writes at most `room` bytes to the array, which is that long.
    check(unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, tid, room, info.as_mut_ptr()) })?;
    let [kind, _, _, number, a, b, c, d, e, f, ..] = info;
    Ok(match kind.to_le_bytes()[0] {
        ENTRY => Side::Entry { number, arguments: [a, b, c, d, e, f] },
        EXIT => Side::Exit,
        _ => Side::None,
    })
}

/// The registers of a stopped thread that a system call would read.
pub(super) fn call_registers(tid: Tid) -> io::Result<CallRegisters> {
    let registers = registers(tid)?;
    Ok(CallRegisters { number: registers.rax, first: registers.rdi, second: registers.rsi })
}

/// The address of the next instruction of a stopped thread.
pub(super) fn instruction_pointer(tid: Tid) -> io::Result<u64> {
    Ok(registers(tid)?.rip)
}

/// Makes a stopped thread stop again before it runs the instruction at `address`; `None` calls that off.
///
/// It is the processor's own breakpoint, in debug register 0: no byte of the program is changed.
pub(super) fn set_breakpoint(tid: Tid, address: Option<u64>) -> io::Result<()> {
    const CONTROL: usize = 7;
    // Bit 0 of the control register enables breakpoint 0; all other bits zero mean "on execution".
    match address {
        Some(address) => {
            set_debug_register(tid, 0, address)?;
            set_debug_register(tid, CONTROL, 1)
        }
        None => set_debug_register(tid, CONTROL, 0),
    }
}

fn set_debug_register(tid: Tid, number: usize, value: u64) -> io::Result<()> {
    let offset = mem::offset_of!(libc::user, u_debugreg) + number * size_of::<u64>();
    // SAFETY: offset and value travel by value; the kernel checks both.
    check(unsafe { libc::ptrace(libc::PTRACE_POKEUSER, tid, offset, value) })
}

/// Makes the kernel skip the system call that a thread is about to enter.
pub(super) fn skip_call(tid: Tid) -> io::Result<()> {
    let mut registers = registers(tid)?;
    registers.orig_rax = u64::MAX;
    set_registers(tid, &registers)
}

/// Makes the system call that a thread is about to leave return `-errno`.
pub(super) fn set_result(tid: Tid, errno: i32) -> io::Result<()> {
    let mut registers = registers(tid)?;
    registers.rax = i64::from(errno).wrapping_neg().cast_unsigned();
    set_registers(tid, &registers)
}

fn registers(tid: Tid) -> io::Result<libc::user_regs_struct> {
    // SAFETY: the structure is plain integers, for which zero is a value.
    let mut registers: libc::user_regs_struct = unsafe { mem::zeroed() };
    let place = ptr::from_mut(&mut registers);
    // SAFETY: the kernel writes one such structure to `place`, which is one.
    check(unsafe { libc::ptrace(libc::PTRACE_GETREGS, tid, 0, place) })?;
    Ok(registers)
}

fn set_registers(tid: Tid, registers: &libc::user_regs_struct) -> io::Result<()> {
    // SAFETY: the kernel reads one such structure from a reference to one, and checks its contents.
    check(unsafe { libc::ptrace(libc::PTRACE_SETREGS, tid, 0, ptr::from_ref(registers)) })
}

/// Waits for a report about any thread of the process group that `leader` leads.
///
/// Other children of the calling thread are in other groups and keep their reports.
pub(super) fn wait(leader: Tid) -> io::Result<(Tid, Report)> {
    let mut status = 0;
    // Ends: the watchdog kills the process at its limit, and death is a report.
    let tid = loop {
        // SAFETY: the kernel writes one integer to `status`.
        let tid = unsafe { libc::waitpid(-leader, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        match check(tid.into()) {
            Ok(()) => break tid,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    };
    Ok((tid, decode(status)))
}

fn decode(status: i32) -> Report {
    const SYSTEM_CALL: i32 = libc::SIGTRAP | 0x80;
    if !libc::WIFSTOPPED(status) {
        return Report::Ended(ExitStatus::from_raw(status));
    }
    match (libc::WSTOPSIG(status), status >> 16) {
        (SYSTEM_CALL, _) => Report::SystemCall,
        (libc::SIGTRAP, libc::PTRACE_EVENT_CLONE) => Report::Clone,
        (libc::SIGTRAP, libc::PTRACE_EVENT_EXEC) => Report::Exec,
        (libc::SIGTRAP, _) => Report::Trap,
        (signal, _) => Report::Signal(signal),
    }
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
