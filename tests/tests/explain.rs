//! `doyen-sim explain`, looked at in a real browser: opened from a file, used by keys and mouse.
#![allow(clippy::unwrap_used, reason = "only tests use it")]

use doyen_core::time::Time;
use doyen_sim::engine::direct::Direct;
use doyen_sim::explain::page;
use doyen_sim::explain::picture::Picture;
use doyen_sim::explain::record::Recorder;
use doyen_sim::oracle::Violation;
use doyen_sim::schedule::format;
use doyen_sim::trial::recorded;
use doyen_tests::browser::{self, Browser};
use doyen_tests::{procfs, wait};
use serde_json::{Value, json};
use std::time::Duration;

const ENTER: &str = "\u{e007}";
const SCHEDULE: &str = "tests/corpus/singleton-h03-stopped-for-long.toml";
const WRONG: &str = "s1 and s2 both act for the office (said by the test, to have something wrong)";

/// A fixed schedule that passes, with a violation that the test makes up: at the end of its run,
/// naming two of its members.
fn picture() -> Picture {
    let path = format!("{}/../{SCHEDULE}", env!("CARGO_MANIFEST_DIR"));
    let schedule = format::read(SCHEDULE, &std::fs::read_to_string(path).unwrap()).unwrap();
    let mut recorder = Recorder::new(&schedule, "direct");
    recorded(&Direct, &schedule, &mut recorder).unwrap();
    recorder.finish(Some(&Violation {
        oracle: "single_effective_singleton",
        at: Time::ZERO.after(Duration::from_secs(40)),
        what: WRONG.to_owned(),
        fingerprint: String::new(),
    }))
}

async fn number(browser: &Browser, expression: &str) -> f64 {
    browser.eval(expression).await.unwrap().as_f64().unwrap()
}

async fn text(browser: &Browser, selector: &str) -> String {
    let script = format!("document.querySelector('{selector}').innerText");
    let found = browser.eval(&script).await.unwrap();
    found.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_read_filtered_zoomed_and_followed_to_a_cause_without_a_network() {
    if !browser::is_installed() {
        // Seen with `--nocapture`; `cargo xtask test` installs the browser or says why it cannot.
        eprintln!(
            "SKIPPED: no {} (apt-get install chromium chromium-driver)",
            browser::CHROMIUM
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let picture = picture();
    let file = folder.path().join("page.html");
    std::fs::write(&file, page::html(&picture).unwrap()).unwrap();
    let browser = Browser::start(folder.path()).await.unwrap();
    let url = format!("file://{}", file.display());
    browser.open(&url).await.unwrap();

    let lanes = number(&browser, "doyen.picture.lanes.length").await;
    assert_eq!(
        lanes,
        f64::from(u32::try_from(picture.lanes.len()).unwrap())
    );
    assert!(text(&browser, "#verdict").await.contains(WRONG));
    colours_differ(&browser).await;
    keys_zoom(&browser).await;
    filters_count(&browser, &picture).await;
    causes_are_followed(&browser).await;

    assert_eq!(browser.log("browser").await.unwrap(), Vec::<String>::new());
    // The page itself and nothing else; the browser's own first tab is not ours.
    assert_eq!(requests_of(&browser, &url).await, [url.as_str()]);
    browser.close().await.unwrap();
}

/// What a page asked for, itself first.
async fn requests_of(browser: &Browser, page: &str) -> Vec<String> {
    let lines = browser.log("performance").await.unwrap();
    let lines = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["message"].take());
    lines
        .filter(|line| line["method"] == "Network.requestWillBeSent")
        .filter(|line| line["params"]["documentURL"] == page)
        .map(|line| {
            line["params"]["request"]["url"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect()
}

/// The canvas knows no `light-dark()`: what it does not understand it paints black.
async fn colours_differ(browser: &Browser) {
    let seen = "(() => { const c = document.querySelector('canvas'); const d = c.getContext('2d')\
                .getImageData(0, 0, c.width, c.height).data; const s = new Set(); \
                for (let i = 0; i < d.length; i += 4) s.add(d[i] << 16 | d[i+1] << 8 | d[i+2]); \
                return s.size; })()";
    assert!(number(browser, seen).await > 20.0);
}

async fn keys_zoom(browser: &Browser) {
    let span = "doyen.view()[1] - doyen.view()[0]";
    browser.press("0").await.unwrap();
    let whole = number(browser, span).await;
    browser.press("+").await.unwrap();
    let near = number(browser, span).await;
    assert!(near < whole * 0.8, "{near} of {whole}");
    browser.press("-").await.unwrap();
    assert!(number(browser, span).await > near);
    browser.press("v").await.unwrap();
    let at = number(browser, "doyen.picture.violation.at").await;
    let (from, to) = (
        number(browser, "doyen.view()[0]").await,
        number(browser, "doyen.view()[1]").await,
    );
    let near = to - from < whole / 4.0;
    assert!(
        (from..to).contains(&at) && near,
        "{at} in {from}..{to} of {whole}"
    );
}

async fn filters_count(browser: &Browser, picture: &Picture) {
    let gossip = picture
        .items
        .iter()
        .filter(|item| item.text == "gossip" && !item.in_slice);
    let gossip = f64::from(u32::try_from(gossip.count()).unwrap());
    assert!(gossip > 0.0);
    let before = number(browser, "doyen.shown()").await;
    browser.click("#show-message-gossip").await.unwrap();
    assert_eq!(number(browser, "doyen.shown()").await, before + gossip);
    let writes = "doyen.picture.items.filter((item) => item.kind === 'accepted').length";
    let (all, writes) = (before + gossip, number(browser, writes).await);
    browser.click("#show-accepted").await.unwrap();
    assert_eq!(number(browser, "doyen.shown()").await, all - writes);
    browser.press("s").await.unwrap();
    let slice = picture.items.iter().filter(|item| item.in_slice).count();
    assert_eq!(
        number(browser, "doyen.shown()").await,
        f64::from(u32::try_from(slice).unwrap())
    );
    assert!(
        slice * 10 <= picture.items.len().max(60),
        "{slice} of {}",
        picture.items.len()
    );
    browser.press("s").await.unwrap();
}

async fn causes_are_followed(browser: &Browser) {
    let caused = "doyen.picture.items.findLastIndex((item) => item.causes.length > 0)";
    browser
        .eval(&format!("doyen.select({caused})"))
        .await
        .unwrap();
    assert!(text(browser, "#selected").await.contains("It came from"));
    let script = format!("doyen.picture.items[{caused}].causes[0]");
    let cause: Value = browser.eval(&script).await.unwrap();
    browser.press(ENTER).await.unwrap();
    assert_eq!(browser.eval("doyen.selected()").await.unwrap(), cause);
    browser.press("\u{e00c}").await.unwrap();
    assert_eq!(browser.eval("doyen.selected()").await.unwrap(), json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_is_not_closed_ends_when_its_test_does() {
    if !browser::is_installed() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let browser = Browser::start(folder.path()).await.unwrap();
    let pid = browser.pid().expect("chromedriver tells the browser's pid");
    assert!(procfs::is_alive(pid));
    drop(browser);
    let gone = wait::until("the browser is gone", Duration::from_secs(20), async || {
        (!procfs::is_alive(pid))
            .then_some(())
            .ok_or_else(|| format!("{pid} lives"))
    });
    gone.await.unwrap();
}
