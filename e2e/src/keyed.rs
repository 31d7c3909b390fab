//! Plugins with a memory for each key, where the clock or a crash plays a part; the rest is `cases/Q8-…`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::braid::{River, eventually};
use crate::http;

const VISITS: &str = r#"
apiVersion: braid/v1
name: visits
layout: kappa
store: memory://
sources: {clicks: {files: {path: "${INPUT}"}, format: json, schema: {visitor: string, at: timestamp, page: string}}}
plugins: {visits: {component: plugins/visits/visits.wasm, limits: {time: 10s}}}
streams: {visits: {from: clicks, transform_with_state: {plugin: visits, key: visitor, time_mode: processing_time}}}
views: {finished: {sql: "SELECT visitor, clicks, path FROM visits"}}
serving: {http: "127.0.0.1:0"}
"#;

/// How long after the start the timer is over, so that the click's own epoch is behind it on any machine that this passes on.
const AHEAD: Duration = Duration::from_secs(4);

/// The silence after which the plugin ends a visit.
const SILENCE: Duration = Duration::from_secs(30 * 60);

#[test]
fn a_timer_that_is_over_makes_an_epoch_without_rows_and_lambda_computes_it_again() {
    for layout in ["kappa", "lambda"] {
        let home = tempfile::tempdir().expect("a temporary directory");
        let (input, file) = (home.path().join("input"), home.path().join("deployment.yaml"));
        std::fs::create_dir(&input).expect("a fresh directory");
        std::fs::write(&file, VISITS).expect("a fresh file");
        let river = River::new(file, home.path()).env("INPUT", input.display()).layout(layout);
        let mut running = river.up();
        let address = running.address();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let at = i64::try_from((now + AHEAD - SILENCE).as_secs()).expect("a time");
        let at = arrow::temporal_conversions::timestamp_s_to_datetime(at).expect("a time").format("%Y-%m-%dT%H:%M:%S");
        let click = format!("{{\"visitor\":\"ada\",\"at\":\"{at}\",\"page\":\"home\"}}\n");
        std::fs::write(input.join(".1"), click).expect("a fresh file");
        std::fs::rename(input.join(".1"), input.join("1.json")).expect("a moved file");
        let finished = "SELECT visitor, clicks, path FROM finished";
        let rows = eventually("the end of the visit", || {
            let rows = http::sql(&address, finished).ok()["rows"].clone();
            match rows.as_array().is_some_and(|rows| !rows.is_empty()) {
                true => Ok(rows),
                false => Err(running.said()),
            }
        });
        assert_eq!(rows, serde_json::json!([{"visitor": "ada", "clicks": 1, "path": "home"}]), "{layout}");
        let query = http::get(&address, "/v1/queries/visits/progress").ok();
        let epochs = query["recentProgress"].as_array().expect("reports").len();
        assert!(epochs >= 2, "the timer has an epoch of its own, unless the machine is very slow: {query}");
        running.stop();
        river.catch_up().ok("a base");
        assert_eq!(river.rows(finished), ["ada,1,home"], "{layout}");
    }
}
