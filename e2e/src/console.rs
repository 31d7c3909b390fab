//! The console in a real browser: what a newcomer sees at the quickstart's address is live and right.

use crate::braid::{River, TERMINATED, eventually};
use crate::browser::Browser;

#[test]
fn the_quickstart_is_seen_live() {
    let Some(browser) = Browser::start("the console in a browser") else {
        return;
    };
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut running = River::new("deploy/quickstart.yaml", home.path()).env("BRAID_HTTP", "127.0.0.1:0").up();
    let address = running.address();
    browser.open(&format!("http://{address}/"));
    let first = eventually("rows on the page", || match browser.number("#rows-read") {
        Some(rows) if rows > 0 => Ok(rows),
        _ => Err(browser.text("body")),
    });
    eventually("more rows on the page", || match browser.number("#rows-read") {
        Some(rows) if rows > first => Ok(()),
        rows => Err(format!("{rows:?} after {first}; {}", running.said())),
    });
    assert_eq!(browser.text("#deployment"), "quickstart");
    assert_eq!(browser.text("#layout").to_lowercase(), "lambda");
    for view in ["revenue_by_product", "revenue_by_window", "totals", "visits_by_network"] {
        let script = format!("return document.querySelector('#views').innerText.includes('{view}') || null");
        browser.wait(view, &script);
    }
    // A question typed into the page is answered there, by the same rows that the API gives.
    browser.script(
        "document.getElementById('sql').value = 'SELECT count(*) AS products, sum(orders) > 0 AS sold FROM revenue_by_product';
         document.getElementById('sql-run').click();",
    );
    let cells = browser.wait(
        "an answer on the page",
        "const cells = [...document.querySelectorAll('#sql-result tbody td')].map((cell) => cell.textContent); return cells.length ? cells : null",
    );
    assert_eq!(cells, serde_json::json!(["12", "true"]));
    let picture = std::env::var_os("BRAID_SCREENSHOT").map_or(home.path().join("console.png"), Into::into);
    browser.screenshot(&picture);
    assert_eq!(browser.errors(), Vec::<String>::new(), "the page's console");
    assert_eq!(running.stop().code(), Some(TERMINATED));
}
