//! Headless Chromium by WebDriver (W3C), for looking at pages as a person does.

use crate::http::{Call, Client};
use crate::running::{self, Fault, Running};
use crate::{Outcome, ports, trouble, wait};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Where Debian puts the browser.
pub const CHROMIUM: &str = "/usr/bin/chromium";
/// Where Debian puts its driver.
pub const CHROMEDRIVER: &str = "/usr/bin/chromedriver";
/// A driver answers soon after its start, even on a busy machine.
const START: Duration = Duration::from_secs(30);
/// The browser asks nobody for anything, and needs neither a sandbox nor a graphics card.
const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1500,900",
];

/// Whether browser and driver are installed.
#[must_use]
pub fn is_installed() -> bool {
    [CHROMIUM, CHROMEDRIVER]
        .iter()
        .all(|program| Path::new(program).is_file())
}

/// One browser with one window. Driver and browser are ended by their own pids when it is dropped.
#[derive(Debug)]
pub struct Browser {
    client: Client,
    session: String,
    /// The browser's own process, while it runs.
    pid: Option<u32>,
    driver: Running,
}

impl Drop for Browser {
    /// A test that failed did not close it: a driver that is killed leaves its browser behind.
    fn drop(&mut self) {
        if let Some(pid) = self.pid.take() {
            // It has ended already: there is nothing left to do.
            let _ = running::send(pid, Fault::Kill);
        }
    }
}

impl Browser {
    /// Starts a driver on a free port, and a browser with an empty profile in `folder`.
    ///
    /// # Errors
    /// They do not start; the failure tells what the driver said.
    pub async fn start(folder: &Path) -> Outcome<Self> {
        let port = ports::free(1)?[0];
        let mut command = Command::new(CHROMEDRIVER);
        command.arg(format!("--port={port}"));
        let driver = Running::start(command, folder, "chromedriver")?;
        let client = Client::new(port);
        wait::until("chromedriver is ready", START, async || {
            let reply = client.call(Call::get("/status")).await;
            let reply = reply.map_err(|error| error.to_string())?;
            let ready = reply.json()["value"]["ready"] == json!(true);
            ready.then_some(()).ok_or_else(|| reply.brief())
        })
        .await?;
        let mut flags: Vec<String> = FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
        let profile = folder.join("profile");
        flags.push(format!("--user-data-dir={}", profile.display()));
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "binary": CHROMIUM, "args": flags },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        }}});
        let mut browser = Self {
            client,
            session: String::new(),
            pid: None,
            driver,
        };
        let session = browser.ask("/session", &wanted).await?;
        let pid = session["capabilities"]["goog:processID"].as_u64();
        browser.pid = pid.and_then(|pid| u32::try_from(pid).ok());
        let id = session["sessionId"].as_str();
        browser.session = id
            .ok_or_else(|| trouble("chromedriver gave no session"))?
            .to_owned();
        Ok(browser)
    }

    async fn ask(&self, path: &str, body: &Value) -> Outcome<Value> {
        let call = Call::post(path, body.to_string()).header("content-type", "application/json");
        let reply = self.client.call(call).await?;
        let mut answer = reply.json();
        if reply.status == 200 {
            return Ok(answer["value"].take());
        }
        let said = self.driver.stderr();
        Err(trouble(format!("chromedriver: {}\n{said}", reply.brief())))
    }

    async fn tell(&self, verb: &str, body: &Value) -> Outcome<Value> {
        self.ask(&format!("/session/{}/{verb}", self.session), body)
            .await
    }

    /// Opens a page and waits until it is loaded.
    ///
    /// # Errors
    /// It cannot be loaded.
    pub async fn open(&self, url: &str) -> Outcome<()> {
        self.tell("url", &json!({ "url": url })).await.map(drop)
    }

    /// What this JavaScript expression gives in the page.
    ///
    /// # Errors
    /// It throws.
    pub async fn eval(&self, expression: &str) -> Outcome<Value> {
        let body = json!({ "script": format!("return ({expression});"), "args": [] });
        self.tell("execute/sync", &body).await
    }

    /// Presses keys, one after the other, on what has the focus.
    ///
    /// # Errors
    /// The driver refuses.
    pub async fn press(&self, keys: &str) -> Outcome<()> {
        let strokes = keys.chars().flat_map(|key| {
            ["keyDown", "keyUp"].map(|stroke| json!({ "type": stroke, "value": key.to_string() }))
        });
        let actions: Vec<_> = strokes.collect();
        let body = json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] });
        self.tell("actions", &body).await.map(drop)
    }

    /// Clicks the element that this CSS selector finds.
    ///
    /// # Errors
    /// There is none, or it cannot be clicked.
    pub async fn click(&self, selector: &str) -> Outcome<()> {
        let body = json!({ "using": "css selector", "value": selector });
        let found = self.tell("element", &body).await?;
        let id = found
            .as_object()
            .and_then(|found| found.values().next()?.as_str());
        let id = id.ok_or_else(|| trouble(format!("no element id for {selector}")))?;
        self.tell(&format!("element/{id}/click"), &json!({}))
            .await
            .map(drop)
    }

    /// The lines of a log since it was last asked for: `browser` is the console, `performance` has
    /// the requests.
    ///
    /// # Errors
    /// The driver refuses.
    pub async fn log(&self, kind: &str) -> Outcome<Vec<String>> {
        let lines = self.tell("se/log", &json!({ "type": kind })).await?;
        let lines = lines.as_array().cloned().unwrap_or_default();
        let text = |line: &Value| line["message"].as_str().unwrap_or_default().to_owned();
        Ok(lines.iter().map(text).collect())
    }

    /// The browser's process; none if the driver did not tell it.
    #[must_use]
    pub const fn pid(&self) -> Option<u32> {
        self.pid
    }

    /// Closes the browser; its driver ends when this is dropped.
    ///
    /// # Errors
    /// The driver refuses.
    pub async fn close(mut self) -> Outcome<()> {
        let call = Call::delete(format!("/session/{}", self.session));
        self.client.call(call).await?.expect(&[200])?;
        // It is gone, and its pid may be somebody else's.
        self.pid = None;
        Ok(())
    }
}
