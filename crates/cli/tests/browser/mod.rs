//! A real browser without a screen, driven over its own debugging port; none where none is installed.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use super::scene::await_that;

/// How long one answer may take on a loaded machine.
const LIMIT: Duration = Duration::from_secs(60);

const PROGRAMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "chrome"];

/// A browser of its own, with nothing in it that was there before.
pub(crate) struct Browser {
    child: Child,
    _profile: tempfile::TempDir,
    socket: WebSocket<TcpStream>,
    number: u64,
}

/// A page in it.
pub(crate) struct Page<'a> {
    browser: &'a mut Browser,
    session: String,
}

impl Browser {
    /// Starts one; why there is none.
    pub(crate) fn start() -> Result<Browser, String> {
        let profile = tempfile::tempdir().expect("a directory");
        let mut found = None;
        for program in PROGRAMS {
            let mut command = Command::new(program);
            command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
            command.args(["--remote-debugging-port=0", "--window-size=800,500"]);
            command.arg(format!("--user-data-dir={}", profile.path().display())).env("HOME", profile.path());
            if let Ok(child) = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn() {
                found = Some(child);
                break;
            }
        }
        let Some(mut child) = found else {
            return Err(format!("no browser here ({})", PROGRAMS.join(", ")));
        };
        let errors = BufReader::new(child.stderr.take().expect("a pipe"));
        let (told, place) = std::sync::mpsc::channel();
        // Reads on, so that the browser never waits; ends with it.
        std::thread::spawn(move || {
            for line in errors.lines().map_while(Result::ok) {
                if let Some((_, place)) = line.split_once("DevTools listening on ") {
                    let _nobody_waits_any_more = told.send(place.trim().to_owned());
                }
            }
        });
        let Ok(place) = place.recv_timeout(LIMIT) else {
            let _gone = child.kill().and_then(|()| child.wait());
            return Err("a browser is here that does not start".to_owned());
        };
        let at = place.trim_start_matches("ws://").split('/').next().expect("a place").to_owned();
        let stream = TcpStream::connect(at).expect("the browser listens");
        stream.set_read_timeout(Some(LIMIT)).expect("a socket");
        let (socket, _) = tungstenite::client(place, stream).expect("the browser speaks");
        Ok(Browser { child, _profile: profile, socket, number: 0 })
    }

    /// Asks it to do something.
    fn ask(&mut self, session: Option<&str>, method: &str, parameters: Value) -> Value {
        self.number += 1;
        let mut question = json!({ "id": self.number, "method": method, "params": parameters });
        if let Some(session) = session {
            question["sessionId"] = session.into();
        }
        self.socket.send(Message::text(question.to_string())).expect("the browser hears");
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < LIMIT, "no answer to {method}");
            let Message::Text(text) = self.socket.read().expect("the browser answers") else { continue };
            let answer: Value = serde_json::from_str(&text).expect("JSON");
            if answer["id"] == self.number {
                let error = answer["error"]["message"].as_str().unwrap_or_default();
                // A page that is still being opened has nothing yet in which anything could be looked at.
                assert!(answer["error"].is_null() || error.contains("context"), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// Opens a page.
    pub(crate) fn open(&mut self, link: &str) -> Page<'_> {
        let target = self.ask(None, "Target.createTarget", json!({ "url": link }))["targetId"].clone();
        let session = self.ask(None, "Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        let session = session["sessionId"].as_str().expect("a session").to_owned();
        Page { browser: self, session }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its processes end with it.
        let _asked = self.socket.send(Message::text(json!({ "id": 0, "method": "Browser.close" }).to_string()));
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _killed = self.child.kill().and_then(|()| self.child.wait());
    }
}

impl Page<'_> {
    /// What an expression is in the page.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true });
        self.browser.ask(Some(&self.session), "Runtime.evaluate", parameters)["result"]["value"].clone()
    }

    /// What can be read in it.
    pub(crate) fn text(&mut self) -> String {
        self.evaluate("document.body?.innerText ?? ''").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until this can be read in it.
    pub(crate) fn shows(&mut self, text: &str) {
        await_that(text, || self.text().contains(text));
    }

    /// Writes a picture of it where WHARF_SCREENSHOTS says, if it does, for people to look at.
    pub(crate) fn picture(&mut self, name: &str) {
        let Some(folder) = std::env::var_os("WHARF_SCREENSHOTS") else { return };
        let picture = self.browser.ask(Some(&self.session), "Page.captureScreenshot", json!({}));
        let path = std::path::Path::new(&folder).join(format!("{name}.png.base64"));
        std::fs::write(path, picture["data"].as_str().expect("a picture")).expect("a folder");
    }

    /// Leaves it.
    pub(crate) fn close(&mut self) {
        self.browser.ask(Some(&self.session), "Page.close", json!({}));
    }
}
