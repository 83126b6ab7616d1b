//! Damage to one header, and one message that is none.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use wharf_sys::socket;

use crate::compare::trouble::Trouble;
use crate::lesson::cast::Player;
use crate::lesson::finding::{Figure, Finding, Verdict};
use crate::lesson::ground::Ground;

/// So many depend on the region, or have a link.
const DEPEND: usize = 3;

pub(crate) fn measure(ground: &Ground) -> Result<Finding, Trouble> {
    let (hurt, why_hurt) = damage_region(ground)?;
    let unharmed = babble(ground)?;
    let figures = vec![
        Figure::new("processes that depend on either", DEPEND as f64, "processes"),
        Figure::new("cannot attach the region anew", hurt as f64, "processes"),
        Figure::new("have links that went on", unharmed as f64, "processes"),
    ];
    let verdict = match (hurt, unharmed) {
        (DEPEND, DEPEND) => Verdict::Holds,
        (0, DEPEND) => Verdict::HoldsNoLonger,
        _ => Verdict::Depends,
    };
    let why = format!(
        "one changed byte in the region's header kept {hurt} of {DEPEND} processes from attaching it, each by an error and none by a \
         crash ({why_hurt}); garbage sent to a listener was refused, and {unharmed} of {DEPEND} links went on"
    );
    Ok(Finding::new(verdict, why, figures))
}

/// Changes a byte of a region; how many cannot attach it any more, and what one of them was told.
fn damage_region(ground: &Ground) -> Result<(usize, String), Trouble> {
    let _region = ground.regions().create_bytes("lesson-damaged", 4096)?;
    let mut players = Player::several(ground, DEPEND)?;
    for player in &mut players {
        player.ask("attach lesson-damaged")?;
    }
    let file = File::options().read(true).write(true).open(file_of(ground, "lesson-damaged")?)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, 0)?;
    file.write_all_at(&[!byte[0]], 0)?;
    let refused: Vec<Trouble> =
        players.iter_mut().filter_map(|player| player.ask("attach lesson-damaged").err()).collect();
    let told = refused.first().map_or_else(String::new, |trouble| trouble.why.clone());
    Ok((refused.len(), told.trim_start_matches("another process: ").to_owned()))
}

fn file_of(ground: &Ground, region: &str) -> Result<PathBuf, Trouble> {
    let mut entries = fs::read_dir(ground.place.path())?.flatten();
    let entry = entries.find(|entry| entry.file_name().to_string_lossy().starts_with(region));
    entry.map(|entry| entry.path()).ok_or_else(|| Trouble::wrong("the region has no file"))
}

/// Says something that is no introduction where others have links; how many of those go on.
fn babble(ground: &Ground) -> Result<usize, Trouble> {
    let mut listener = ground.links().listen("unix:lesson-sound")?;
    let mut players = Player::several(ground, DEPEND)?;
    let mut links = Vec::new();
    for player in &mut players {
        player.tell("connect unix:lesson-sound")?;
        links.push(listener.accept_timeout(ground.left())?);
        player.hear()?;
    }
    let path = ground.place.path().join("lesson-sound.unix");
    let stranger = socket::connect(&path, socket::Kind::SeqPacket, None)?;
    socket::send(&stranger, b"is anybody there?")?;
    // Whoever is refused is no link, so this waits in vain and hears the stranger meanwhile.
    if listener.accept_timeout(Duration::from_millis(50)).is_ok() || listener.refusals() == 0 {
        return Err(Trouble::wrong("garbage was not refused"));
    }
    let mut unharmed = 0;
    for (player, mut link) in players.iter_mut().zip(links) {
        link.recv()?;
        player.tell("echo")?;
        link.send(b"still there?")?;
        unharmed += usize::from(*link.recv_timeout(ground.left())? == *b"still there?");
        player.hear()?;
    }
    Ok(unharmed)
}
