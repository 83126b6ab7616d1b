//! A host and its plug-in: a program that is handed a ready link, then gives up everything else it could reach.
//!
//! ```sh
//! cargo run --example plugin_host
//! ```
//!
//! The host starts itself once more as the plug-in, over a `unix:` link that has no name, and trusts it with nothing
//! (`Trust::Hostile`). The plug-in takes its link, leaves the file system where it may (as root: into an empty directory),
//! and installs a filter after which the kernel refuses it everything but sending, receiving and looking at what was sent
//! to it. Then it works: the host sends pictures as sealed buffers, which arrive without a copy and cannot be changed, and
//! the plug-in answers with their brightness. In between the host asks it to break out, and shows what came of it.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};
use wharf::{Attachment, Link, Options, SealedBuffer, Transport, Trust, Wait};

/// What the plug-in is asked to try.
const BREAKOUTS: [&str; 4] = ["open a file", "make a file", "connect to a port", "start a program"];

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let outcome = match (words.next().as_deref(), words.next()) {
        (None, _) => host(),
        (Some("plugin"), Some(empty)) => plugin(Path::new(&empty)),
        _ => Err("run it without arguments".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Starts the plug-in, lets it work, and asks it to break out.
fn host() -> Result<(), Box<dyn Error>> {
    let empty = tempfile::tempdir()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("plugin").arg(empty.path()).env_clear().stdin(Stdio::null()).stdout(Stdio::null());
    let (mut child, mut link) = Options::new().trust(Trust::Hostile).spawn(Transport::Unix, command)?;

    println!("file system: {}", ask(&mut link, "where are you?")?);
    for grey in [10, 200] {
        println!("picture of {grey}: brightness {}", brightness(&mut link, grey)?);
    }
    for breakout in BREAKOUTS {
        println!("{breakout}: {}", ask(&mut link, breakout)?);
    }
    println!("picture of 90: brightness {}", brightness(&mut link, 90)?);

    drop(link);
    println!("the plug-in has ended: {}", child.wait()?);
    Ok(())
}

/// Sends a picture of one shade, without copying it.
fn brightness(link: &mut Link, grey: u8) -> Result<String, Box<dyn Error>> {
    let mut picture = SealedBuffer::builder(1920 * 1080)?;
    picture.fill(grey);
    link.send_with(b"how bright is this?", &[Attachment::from(&picture.seal()?)])?;
    Ok(String::from_utf8_lossy(&link.recv()?).into_owned())
}

fn ask(link: &mut Link, question: &str) -> Result<String, Box<dyn Error>> {
    link.send(question.as_bytes())?;
    Ok(String::from_utf8_lossy(&link.recv()?).into_owned())
}

/// Takes the link, gives up everything else, and answers until the link ends.
fn plugin(empty: &Path) -> Result<(), Box<dyn Error>> {
    let mut link = Options::new().wait(Wait::Sleep).inherited()?;
    let place = match std::os::unix::fs::chroot(empty).and_then(|()| std::env::set_current_dir("/")) {
        Ok(()) => format!("an empty directory; {}", refusal(fs::read("/etc/passwd"))),
        // Another user may not, and has the filter alone to keep it out.
        Err(error) => format!("out of reach by the filter alone ({error})"),
    };
    seccompiler::apply_filter(&filter()?)?;
    // From here on a panic could not even say so: every error goes to the host, or ends the link.
    while let Ok(mut message) = link.recv() {
        let answer = match message.take_buffer() {
            Ok(picture) => {
                format!("{}", picture.iter().map(|it| u64::from(*it)).sum::<u64>() / picture.len().max(1) as u64)
            }
            Err(_) => answer(&message, &place),
        };
        link.send(answer.as_bytes())?;
    }
    Ok(())
}

fn answer(question: &[u8], place: &str) -> String {
    match question {
        b"where are you?" => place.to_owned(),
        b"open a file" => refusal(fs::read("/etc/passwd")),
        b"make a file" => refusal(fs::write("/tmp/wharf-plugin-was-here", "x")),
        b"connect to a port" => refusal(std::net::TcpStream::connect("127.0.0.1:22")),
        b"start a program" => refusal(Command::new("/bin/true").status()),
        other => format!("what is {:?}?", String::from_utf8_lossy(other)),
    }
}

fn refusal<T>(outcome: io::Result<T>) -> String {
    match outcome {
        Ok(_) => "done, which should not be".to_owned(),
        Err(error) => format!("refused ({error})"),
    }
}

/// The system calls of a link whose end sleeps, of taking sealed buffers over, and of memory; everything else fails with
/// "operation not permitted". A real plug-in would rather be killed (`SeccompAction::KillProcess`); this one is to tell
/// what it was told.
fn filter() -> Result<BpfProgram, Box<dyn Error>> {
    let argument = |index: u8, op, value| SeccompCondition::new(index, SeccompCmpArgLen::Dword, op, value);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    // No rules for a call: it is allowed whatever its arguments are.
    for call in [
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
        libc::SYS_sendto,
        libc::SYS_sendmsg,
        libc::SYS_shutdown,
        libc::SYS_ppoll,
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_fstatfs,
        libc::SYS_lseek,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_clock_gettime,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_exit_group,
    ] {
        rules.insert(call, Vec::new());
    }
    // Reading the seals of memory, and no other use of fcntl; memory that holds no code.
    let seals = argument(1, SeccompCmpOp::Eq, libc::F_GET_SEALS as u64)?;
    rules.insert(libc::SYS_fcntl, vec![SeccompRule::new(vec![seals])?]);
    let no_code = argument(2, SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64), 0)?;
    rules.insert(libc::SYS_mmap, vec![SeccompRule::new(vec![no_code])?]);
    let refused = SeccompAction::Errno(libc::EPERM as u32);
    let filter = SeccompFilter::new(rules, refused, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)?;
    Ok(filter.try_into()?)
}
