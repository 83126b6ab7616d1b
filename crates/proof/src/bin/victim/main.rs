//! A process that plays the part its command line gives it, until it is done or killed.
//!
//! Parts: `asking …` (see `asking.rs`), `asked-badly …` (`asked_badly.rs`), `asked-honestly …` (`asked_honestly.rs`), `feed …`
//! (`feed.rs`), `region …` (`region.rs`), `locks …` (`locks.rs`), `yard …` (`yard.rs`), `medley …` (`medley.rs`), `berths …`
//! (`berths.rs`), `broadcast …` (`broadcast.rs`), `topic …` (`topic.rs`), `work …` (`work.rs`), `worked-badly …`
//! (`worked_badly.rs`), `worked-honestly …` (`worked_honestly.rs`), `serve …` (`serve.rs`), `attack …` (`attack.rs`), `link …`
//! (`link.rs`), `span …` and `primitive …` (`span.rs`, `primitive.rs`, with marks for a stepping tracer), `fault …`
//! (`fault.rs`, with marks for a failing system call), `scribble …` (`scribble.rs`), `garbage …` (`garbage.rs`), `hand …`
//! (`hand.rs`), `heir …` (`heir.rs`), `guard …` (`guard.rs`). It says what happens to it in lines on its standard output.

#![forbid(unsafe_code)]

mod asked_badly;
mod asked_honestly;
mod asking;
mod attack;
mod berths;
mod broadcast;
mod fault;
mod feed;
mod garbage;
mod guard;
mod hand;
mod heir;
mod link;
mod locks;
mod medley;
mod over;
mod primitive;
mod region;
mod scribble;
mod serve;
mod span;
mod topic;
mod work;
mod worked_badly;
mod worked_honestly;
mod yard;

use std::io::BufRead;
use std::process::ExitCode;

use wharf_proof::said::say;
use wharf_proof::words::Words;

/// Why a part could not be played to its end: a sentence for the test that gave it.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let words = Words::new(std::env::args().skip(1));
    match play(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Should nobody listen, the exit code still tells.
            let _ = say("failed", &failure.to_string());
            ExitCode::FAILURE
        }
    }
}

fn play(words: &Words) -> Result<(), Failure> {
    match words.at(0, "a part to play")? {
        "asked-badly" => asked_badly::play(words),
        "asked-honestly" => asked_honestly::play(words),
        "asking" => asking::play(words),
        "region" => region::play(words),
        "locks" => locks::play(words),
        "berths" => berths::play(words),
        "broadcast" => broadcast::play(words),
        "medley" => medley::play(words),
        "link" => link::play(words),
        "primitive" => primitive::play(words),
        "serve" => serve::play(words),
        "attack" => attack::play(words),
        "topic" => topic::play(words),
        "span" => span::play(words),
        "work" => work::play(words),
        "worked-badly" => worked_badly::play(words),
        "worked-honestly" => worked_honestly::play(words),
        "yard" => yard::play(words),
        "fault" => fault::play(words),
        "feed" => feed::play(words),
        "garbage" => garbage::play(words),
        "guard" => guard::play(words),
        "hand" => hand::play(words),
        "heir" => heir::play(words),
        "scribble" => scribble::play(words),
        other => Err(format!("no part is called '{other}'").into()),
    }
}

/// Waits for the next line of the test; `false` when the test has closed the input or is gone.
fn told() -> Result<bool, Failure> {
    Ok(told_what()?.is_some())
}

/// The next line of the test; `None` when the test has closed the input or is gone.
fn told_what() -> Result<Option<String>, Failure> {
    let mut line = String::new();
    let len = std::io::stdin().lock().read_line(&mut line)?;
    Ok((len > 0).then(|| line.trim_end().to_owned()))
}
