//! The routes over real loopback HTTP, on a river whose epochs the tests commit.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use braid_serve::{Code, QueryState};
use serde_json::{Value, json};
use support::{Order, River};

const FIRST: [Order; 4] = [("Norway", 5, 1), ("France", 100, 2), ("Norway", 250, 12), ("Éire, W", 1, 13)];

async fn shop() -> River {
    let mut river = River::new().await;
    river.epoch(&FIRST).await;
    river
}

#[tokio::test]
async fn a_scan_gives_rows_and_where_they_come_from() {
    let river = shop().await;
    let http = river.serve().await;
    let reply = http.get("/v1/views/by_country/scan").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.headers["content-type"], "application/json");
    let sequence = river.state.board.snapshot().manifest.sequence;
    assert_eq!(
        reply.json(),
        json!({
            "rows": [
                {"country": "France", "n": 1, "total": 100},
                {"country": "Norway", "n": 2, "total": 255},
                {"country": "Éire, W", "n": 1, "total": 1},
            ],
            "provenance": {
                "deployment": "shop",
                "layout": "kappa",
                "versions": {"by_country": "digest of by_country"},
                "plugins": {"anonymise": "sha-1234"},
                "manifest": sequence,
                "base": null,
                "epochs": 1,
                "offsets": {"orders": {"0": 4}},
                "watermarks": {"orders": "1970-01-01T00:00:13.000Z"},
                "watermark": "1970-01-01T00:00:13.000Z",
                "status": "provisional",
                "query": "running",
            }
        })
    );
}

fn countries(page: &Value) -> Vec<&str> {
    let rows = page["rows"].as_array().unwrap();
    rows.iter().map(|row| row["country"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn scans_filter_order_and_page() {
    let mut river = shop().await;
    let http = river.serve().await;
    for (parameters, expected) in [
        ("country=Norway", vec!["Norway"]),
        ("total.ge=100", vec!["France", "Norway"]),
        ("total.lt=100", vec!["Éire, W"]),
        ("n=1&total.ne=1", vec!["France"]),
        ("country.is=null", vec![]),
        ("order=total.desc", vec!["Norway", "France", "Éire, W"]),
        ("order=n,total.asc", vec!["Éire, W", "France", "Norway"]),
        ("country=%C3%89ire%2C%20W", vec!["Éire, W"]),
    ] {
        let page = http.get(&format!("/v1/views/by_country/scan?{parameters}")).await.json();
        assert_eq!(countries(&page), expected, "{parameters}");
    }
    let windows = http.get("/v1/views/by_window/scan?w.start.ge=1970-01-01T00:00:10Z").await.json();
    assert_eq!(countries(&windows), ["Norway", "Éire, W"]);

    // The page after the first holds what comes after its last row, also when the answer has moved on in between.
    let page = http.get("/v1/views/by_country/scan?limit=2").await.json();
    assert_eq!(countries(&page), ["France", "Norway"]);
    let next = page["next"].as_str().unwrap().to_owned();
    river.epoch(&[("Algeria", 7, 14), ("Ormuz", 8, 15)]).await;
    let page = http.get(&format!("/v1/views/by_country/scan?limit=2&after={next}")).await.json();
    assert_eq!(countries(&page), ["Ormuz", "Éire, W"]);
    assert_eq!(page.get("next"), None);

    let appended = http.get("/v1/views/large/scan?order=position.desc").await.json();
    assert_eq!(countries(&appended), ["Norway", "France"]);
    let page = http.get("/v1/views/large/scan?limit=1").await.json();
    assert_eq!(countries(&page), ["France"]);
    let next = page["next"].as_str().unwrap();
    let page = http.get(&format!("/v1/views/large/scan?limit=1&after={next}")).await.json();
    assert_eq!(countries(&page), ["Norway"]);
}

#[tokio::test]
async fn what_a_scan_cannot_read_is_said() {
    let river = shop().await;
    let http = river.serve().await;
    for (parameters, says) in [
        ("county=Norway", "there are: country, n, total"),
        ("n=many", "`n`"),
        ("n.above=1", "tests are eq, ne, lt, le, gt, ge, is"),
        ("n.is=5", "null or not_null"),
        ("limit=0", "from 1 to 10000"),
        ("limit=10001", "from 1 to 10000"),
        ("order=size", "there is no column `size`"),
        ("after=xyz", "`next`"),
        ("after=0000000000", "another order"),
        ("require=exact", "final"),
        ("format=xml", "json or csv"),
    ] {
        let reply = http.get(&format!("/v1/views/by_country/scan?{parameters}")).await;
        assert_eq!(reply.problem(), (400, "bad_parameter".into()), "{parameters}");
        assert!(reply.text.contains(says), "{parameters}: {}", reply.text);
    }
    let reply = http.get("/v1/views/by_county/scan").await;
    assert_eq!(reply.problem(), (404, "unknown_view".into()));
    assert!(reply.text.contains("by_country"), "{}", reply.text);
}

#[tokio::test]
async fn keys_are_found_by_path_column_and_batch() {
    let river = shop().await;
    let http = river.serve().await;
    let norway = json!({"country": "Norway", "n": 2, "total": 255});
    assert_eq!(http.get("/v1/views/by_country/keys/Norway").await.json()["row"], norway);
    assert_eq!(http.get("/v1/views/by_country/keys?country=Norway").await.json()["row"], norway);
    let eire = http.get("/v1/views/by_country/keys/%C3%89ire%2C%20W").await.json();
    assert_eq!(eire["row"]["total"], 1);

    let window = json!({
        "country": "Norway",
        "w": {"start": "1970-01-01T00:00:10Z", "end": "1970-01-01T00:00:20Z"},
        "n": 1,
    });
    for path in [
        "keys/Norway,1970-01-01T00:00:10Z",
        "keys?w=1970-01-01T00:00:10Z&country=Norway",
        "keys?w.start=1970-01-01T00:00:10Z&country=Norway",
    ] {
        let reply = http.get(&format!("/v1/views/by_window/{path}")).await;
        assert_eq!(reply.json()["row"], window, "{path}");
    }

    let body = json!({"keys": ["Norway", ["Atlantis"], {"country": "Norway"}]}).to_string();
    let reply = http.post("/v1/views/by_country/keys:batch_get", body).await;
    assert_eq!(reply.json()["rows"], json!([norway, null, norway]));

    let absent = http.get("/v1/views/by_country/keys/Atlantis").await;
    assert_eq!(absent.problem(), (404, "key_not_found".into()));
    for (method, path, body) in [
        ("GET", "/v1/views/by_country/keys/Norway,5", ""),
        ("GET", "/v1/views/by_country/keys?n=2", ""),
        ("GET", "/v1/views/by_country/keys", ""),
        ("GET", "/v1/views/all/keys?n=4", ""),
        ("GET", "/v1/views/by_window/keys/Norway,yesterday", ""),
        ("GET", "/v1/views/large/keys/Norway", ""),
        ("POST", "/v1/views/by_country/keys:batch_get", r#"{"keys": [null]}"#),
    ] {
        let reply = http.send(method, path, &[], body.as_bytes()).await;
        assert_eq!(reply.problem(), (400, "bad_key".into()), "{path}: {}", reply.text);
    }
    let reply = http.get("/v1/views/by_country/keys/%FF").await;
    assert_eq!(reply.problem(), (400, "bad_parameter".into()));
    let many = json!({"keys": vec!["Norway"; 1001]}).to_string();
    for body in [many.as_str(), "{}", "{\"keys\": [], \"more\": 1}", "nothing"] {
        let reply = http.post("/v1/views/by_country/keys:batch_get", body).await;
        assert_eq!(reply.problem(), (400, "bad_body".into()));
    }
}

#[tokio::test]
async fn sql_answers_with_types() {
    let river = shop().await;
    let http = river.serve().await;
    let reply = http.sql("SELECT country, total FROM by_country ORDER BY total DESC").await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    let answer = reply.json();
    assert_eq!(answer["columns"], json!([{"name": "country", "type": "string"}, {"name": "total", "type": "long"}]));
    assert_eq!(countries(&answer), ["Norway", "France", "Éire, W"]);
    assert_eq!(answer["truncated"], false);
    assert_eq!(answer["provenance"]["status"], "provisional");

    let body = json!({"sql": "SELECT country FROM by_country ORDER BY country"}).to_string();
    let cut = http.post("/v1/sql?limit=2", &body).await.json();
    assert_eq!(countries(&cut), ["France", "Norway"]);
    assert_eq!((&cut["truncated"], &cut["provenance"]["status"]), (&json!(true), &json!("partial")));

    let csv = http.send("POST", "/v1/sql", &["accept: text/csv"], body.as_bytes()).await;
    assert_eq!(csv.headers["content-type"], "text/csv; charset=utf-8");
    assert_eq!(csv.text, "country\nFrance\nNorway\n\"Éire, W\"\n");
    let provenance: Value = serde_json::from_str(&csv.headers["braid-provenance"]).unwrap();
    assert_eq!(provenance["epochs"], 1);

    for wrong in ["SELEC 1", "SELECT nothing FROM by_country", "DROP TABLE by_country", ""] {
        assert_eq!(http.sql(wrong).await.problem(), (400, "bad_sql".into()), "{wrong}");
    }
    let long = format!("SELECT '{}'", "x".repeat(64 * 1024));
    assert_eq!(http.sql(&long).await.problem(), (413, "body_too_large".into()));
}

#[tokio::test]
async fn final_is_said_only_of_closed_windows() {
    let mut river = shop().await;
    let http = river.serve().await;
    let scan = "/v1/views/by_window/scan";
    let closed = "w.end.le=1970-01-01T00:00:10Z";
    let status = |reply: support::Reply| reply.json()["provenance"]["status"].clone();
    assert_eq!(status(http.get(scan).await), "provisional");
    assert_eq!(status(http.get(&format!("{scan}?{closed}&require=final")).await), "final");
    let open = "/v1/views/by_window/keys/Norway,1970-01-01T00:00:10Z";
    for path in
        [&format!("{scan}?require=final"), "/v1/views/by_country/scan?require=final", &format!("{open}?require=final")]
    {
        assert_eq!(http.get(path).await.problem(), (409, "not_final".into()), "{path}");
    }
    river.epoch(&[("Norway", 1, 20)]).await;
    assert_eq!(status(http.get(&format!("{open}?require=final")).await), "final");
    // A row that is not there proves nothing.
    assert_eq!(status(http.get(&format!("{scan}?country=Atlantis")).await), "provisional");
    river.state.status.set(QueryState::Failed("a bad record".into()));
    assert_eq!(status(http.get(scan).await), "partial");
}

#[tokio::test]
async fn a_hole_is_an_error_and_never_a_smaller_number() {
    let mut river = shop().await;
    river.epoch(&[("Norway", 1, 14)]).await;
    river.tear("by_country");
    let http = river.serve().await;
    for path in ["scan", "keys/Norway", "changes"] {
        let reply = http.get(&format!("/v1/views/by_country/{path}")).await;
        assert_eq!(reply.problem(), (500, "hole".into()), "{path}");
    }
    let batch = http.post("/v1/views/by_country/keys:batch_get", r#"{"keys":["Norway"]}"#).await;
    assert_eq!(batch.problem(), (500, "hole".into()));
    let sql = http.sql("SELECT sum(n) FROM by_country").await;
    assert_eq!(sql.problem(), (500, "hole".into()));
    assert_eq!(http.get("/v1/views/by_window/scan").await.status, 200);
}

#[tokio::test]
async fn records_are_taken_and_waited_for() {
    let mut river = River::new().await;
    let http = river.serve().await;
    let reply = http.post("/v1/sources/orders/records", "{}\n{}\n{}\n").await;
    assert_eq!(reply.json()["offsets"], json!({"start": 0, "end": 3}));
    let completion = reply.json()["completion"].as_str().unwrap().to_owned();
    assert_eq!(completion, "/v1/completion?source=orders&offset=3");

    let early = http.get(&format!("{completion}&timeout=1ms")).await.json();
    assert_eq!((&early["visible"], &early["next"]), (&json!(false), &Value::Null));
    let path = format!("{completion}&timeout=60s");
    let (waited, ()) = tokio::join!(http.get(&path), river.epoch(&FIRST[..3]));
    assert_eq!((&waited.json()["visible"], &waited.json()["next"]), (&json!(true), &json!(3)));

    // A query that has ended will not make more visible: the wait ends with it.
    let path = "/v1/completion?source=orders&offset=9&timeout=60s";
    let failing = async { river.state.status.set(QueryState::Failed("disk".into())) };
    let (waited, ()) = tokio::join!(http.get(path), failing);
    assert_eq!((&waited.json()["visible"], &waited.json()["query"]), (&json!(false), &json!("failed")));
    let refused = http.post("/v1/sources/orders/records", "{}").await;
    assert_eq!(refused.problem(), (503, "source_unavailable".into()));
    assert_eq!(*river.journal.lines.lock().unwrap(), 3);

    for wrong in ["source=orders", "source=orders&offset=x", "source=orders&offset=1&timeout=2h", "offset=1&size=2"] {
        let reply = http.get(&format!("/v1/completion?{wrong}")).await;
        assert_eq!(reply.problem(), (400, "bad_parameter".into()), "{wrong}");
    }
}

#[tokio::test]
async fn records_are_refused_with_a_reason() {
    let river = River::new().await;
    let http = river.serve().await;
    let unknown = http.post("/v1/sources/clicks/records", "{}").await;
    assert_eq!(unknown.problem(), (404, "unknown_source".into()));
    assert!(unknown.text.contains("orders"), "{}", unknown.text);
    // A length over the limit is refused without waiting for the bytes.
    let reply = http.send_length("/v1/sources/orders/records", 16 * 1024 * 1024 + 1).await;
    assert_eq!(reply.problem(), (413, "body_too_large".into()));
    *river.journal.full.lock().unwrap() = true;
    let full = http.post("/v1/sources/orders/records", "{}").await;
    assert_eq!(full.problem(), (503, "source_unavailable".into()));
    assert_eq!(full.headers["retry-after"], "1");
}

#[tokio::test]
async fn changes_tell_what_changed_and_nothing_else() {
    let mut river = shop().await;
    let http = river.serve().await;
    let mut keyed = http.follow("/v1/views/by_country/changes").await;
    let mut appended = http.follow("/v1/views/large/changes?snapshot=false").await;
    let (name, id, data) = keyed.next().await.unwrap();
    assert_eq!((name.as_str(), data["rows"].as_array().unwrap().len()), ("snapshot", 3));
    assert_eq!(id, data["provenance"]["manifest"].to_string());
    let (name, _, data) = appended.next().await.unwrap();
    assert_eq!((name.as_str(), &data["rows"]), ("snapshot", &json!([])));

    river.epoch(&[("Norway", 3, 15), ("Chile", 4, 16)]).await;
    let (name, _, data) = keyed.next().await.unwrap();
    assert_eq!(name, "change");
    let mut rows = data["rows"].as_array().unwrap().clone();
    rows.sort_by_key(|row| row["country"].to_string());
    assert_eq!(
        rows,
        [json!({"country": "Chile", "n": 1, "total": 4}), json!({"country": "Norway", "n": 3, "total": 258})]
    );
    assert_eq!((&data["removed"], &data["provenance"]["epochs"]), (&json!([]), &json!(2)));

    // The epoch before had no large order: the next event is about the one that has.
    river.epoch(&[("Chile", 400, 17)]).await;
    let (name, _, data) = appended.next().await.unwrap();
    assert_eq!((name.as_str(), &data["rows"]), ("change", &json!([{"country": "Chile", "amount": 400}])));
    assert_eq!(data["provenance"]["epochs"], 3);

    // A hole ends the stream with a problem.
    keyed.next().await.unwrap();
    river.tear("by_country");
    let (name, _, data) = keyed.next().await.unwrap();
    assert_eq!((name.as_str(), &data["code"]), ("error", &json!("hole")));
    assert!(keyed.next().await.is_none());

    let unknown = http.get("/v1/views/by_county/changes").await;
    assert_eq!(unknown.problem(), (404, "unknown_view".into()));
}

#[tokio::test]
async fn views_without_a_whole_key_have_all_their_rows() {
    let mut river = shop().await;
    let http = river.serve().await;
    // One row for all has the empty key.
    let row = |n: i64, most: i64| json!({"n": n, "most": most});
    assert_eq!(http.get("/v1/views/all/keys").await.json()["row"], row(4, 250));
    let mut all = http.follow("/v1/views/all/changes").await;
    assert_eq!(all.next().await.unwrap().2["rows"], json!([row(4, 250)]));

    // Rows that only differ in what the view leaves out are not lost between pages.
    let mut sizes = http.follow("/v1/views/sizes/changes").await;
    assert_eq!(sizes.next().await.unwrap().2["rows"], json!(vec![json!({"n": 1}); 4]));
    let (mut seen, mut path) = (vec![], "/v1/views/sizes/scan?limit=3".to_owned());
    loop {
        let page = http.get(&path).await.json();
        seen.extend(page["rows"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/v1/views/sizes/scan?limit=3&after={next}");
    }
    assert_eq!(seen, vec![json!({"n": 1}); 4]);

    river.epoch(&[("Norway", 5, 20)]).await;
    let (name, _, data) = all.next().await.unwrap();
    assert_eq!((name.as_str(), &data["rows"]), ("change", &json!([row(5, 250)])));
    // Which of its rows changed cannot be said, so all are told again.
    let (name, _, data) = sizes.next().await.unwrap();
    assert_eq!((name.as_str(), data["rows"].as_array().unwrap().len()), ("snapshot", 4));
}

#[tokio::test]
async fn a_stop_ends_streams_and_waits_and_lets_go_of_the_address() {
    let river = shop().await;
    let http = river.serve().await;
    let mut events = http.follow("/v1/views/by_country/changes").await;
    events.next().await.unwrap();
    let path = "/v1/completion?source=orders&offset=99&timeout=60s";
    let waiting = http.open("GET", path, &[], b"").await;
    // The wait has arrived when it and the question about it are at work.
    let both = "braid_http_at_work_requests{deployment=\"shop\"} 2\n";
    while !http.get("/metrics").await.text.contains(both) {}
    http.stop.send(()).unwrap();
    assert!(events.next().await.is_none());
    assert_eq!(support::Served::reply(waiting).await.json()["visible"], false);
    http.running.await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(http.address).await.is_err());
}

#[tokio::test]
async fn readiness_says_why_not() {
    let river = shop().await;
    let http = river.serve().await;
    assert_eq!(http.get("/livez").await.status, 200);
    assert_eq!(http.get("/readyz").await.status, 200);
    river.state.status.set(QueryState::Failed("the disk is full".into()));
    let reply = http.get("/readyz").await;
    assert_eq!(reply.problem(), (503, "not_ready".into()));
    assert!(reply.text.contains("the disk is full"));
    assert_eq!(http.get("/livez").await.status, 200);
    river.state.status.set(QueryState::Starting);
    assert_eq!(http.get("/readyz").await.status, 503);
}

#[tokio::test]
async fn views_and_queries_describe_themselves() {
    let river = shop().await;
    let http = river.serve().await;
    let views = http.get("/v1/views").await.json()["views"].clone();
    let names: Vec<&str> = views.as_array().unwrap().iter().map(|v| v["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["all", "by_country", "by_window", "large", "sizes", "dead_letters"]);
    assert_eq!(
        views[2],
        json!({
            "name": "by_window",
            "kind": "keyed",
            "columns": [
                {"name": "country", "type": "string"},
                {"name": "w", "type": "struct<start: timestamp, end: timestamp>"},
                {"name": "n", "type": "long"},
            ],
            "keys": ["country", "w"],
            "window": true,
            "version": "digest of by_window",
        })
    );
    assert_eq!(http.get("/v1/views/dead_letters/scan").await.json()["rows"], json!([]));
    assert_eq!(http.get("/v1/views/large").await.json()["kind"], "append");

    let queries = http.get("/v1/queries").await.json();
    assert_eq!(queries["queries"][0]["id"], "q-1");
    for id in ["q-1", "shop"] {
        let query = http.get(&format!("/v1/queries/{id}")).await.json();
        assert_eq!(query["layers"]["speed"]["nextEpoch"], 1);
        assert_eq!(query["sources"]["orders"]["rows"], 4);
    }
    let progress = braid_kernel::progress::Progress { batch_id: 7, num_input_rows: 4, ..Default::default() };
    river.state.board.report(progress);
    let recent = http.get("/v1/queries/q-1/progress").await.json();
    assert_eq!(recent["recentProgress"][0]["batchId"], 7);
    assert_eq!(recent["recentProgress"][0]["numInputRows"], 4);
    assert_eq!(http.get("/v1/queries/q-2").await.problem(), (404, "unknown_query".into()));
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let river = shop().await;
    let http = river.serve().await;
    http.get("/v1/views/by_country/scan").await;
    http.get("/v1/views/none/scan").await;
    let text = http.get("/metrics").await.text;
    for expected in [
        "braid_source_rows_total{deployment=\"shop\",source=\"orders\"} 4\n",
        "braid_source_offset_records{deployment=\"shop\",source=\"orders\",partition=\"0\"} 4\n",
        "braid_speed_epochs_total{deployment=\"shop\",layer=\"speed\"} 1\n",
        "braid_base_lag_epochs{deployment=\"shop\",layer=\"base\"} 1\n",
        "braid_speed_watermark_timestamp_seconds{deployment=\"shop\",layer=\"speed\"} 13\n",
        "braid_view_stored_rows{deployment=\"shop\",view=\"by_country\",layer=\"speed\"} 3\n",
        "braid_http_requests_total{deployment=\"shop\",route=\"scan\",status=\"200\"} 1\n",
        "braid_http_requests_total{deployment=\"shop\",route=\"scan\",status=\"404\"} 1\n",
        "braid_http_at_work_requests{deployment=\"shop\"} 1\n",
        "braid_query_state_info{deployment=\"shop\",state=\"running\"} 1\n",
    ] {
        assert!(text.contains(expected), "{expected}{text}");
    }
    let mut family = "";
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(name.starts_with("braid_"), "{name}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name} {kind}");
            family = name;
        } else if !line.starts_with('#') {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert_eq!(series.split_once('{').unwrap().0, family, "{line}");
            value.parse::<f64>().unwrap();
        }
    }
}

#[tokio::test]
async fn pages_of_other_sites_are_kept_out() {
    let river = shop().await;
    let http = river.serve().await;
    let origin = format!("origin: http://{}", http.address);
    let body = br#"{"sql": "SELECT 1 AS one"}"#;
    assert_eq!(http.send("POST", "/v1/sql", &[&origin], body).await.status, 200);
    for headers in [["origin: http://evil.example"], ["origin: null"], ["host: evil.example"]] {
        let reply = http.send("POST", "/v1/sql", &headers, body).await;
        assert_eq!(reply.problem(), (403, "foreign_origin".into()), "{headers:?}");
    }
    let rebound = http.send("GET", "/v1/views", &["host: evil.example:8080"], b"").await;
    assert_eq!(rebound.problem(), (403, "foreign_origin".into()));
    for host in ["host: localhost:1", "host: [::1]:80", "host: 127.0.0.1"] {
        assert_eq!(http.send("GET", "/v1/views", &[host], b"").await.status, 200, "{host}");
    }
    for path in ["/", "/console.js", "/console.css", "/console.svg", "/v1/views", "/nowhere"] {
        let headers = http.get(path).await.headers;
        assert!(headers["content-security-policy"].starts_with("default-src 'self'"), "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert!(!headers.contains_key("access-control-allow-origin"));
    }
    assert_eq!(http.get("/nowhere").await.problem(), (404, "unknown_route".into()));
    assert_eq!(http.get("/v1/sql").await.problem(), (405, "method_not_allowed".into()));
}

#[tokio::test]
async fn the_console_needs_nothing_from_elsewhere() {
    let river = shop().await;
    let http = river.serve().await;
    let page = http.get("/").await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    for part in ["/", "/console.js", "/console.css"] {
        let text = http.get(part).await.text;
        let outside = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains("http://") && !outside.contains("https://") && !outside.contains("//cdn"), "{part}");
    }
    // Each element that the script looks up by its id is on the page.
    let script = http.get("/console.js").await.text;
    let ids = script.split("at(\"").chain(script.split("say(\"")).skip(1);
    let ids: Vec<&str> = ids.filter_map(|rest| rest.split_once('"')).map(|(id, _)| id).collect();
    assert!(ids.len() > 20);
    for id in ids {
        if id.chars().all(|c| c.is_ascii_lowercase() || c == '-') {
            assert!(page.text.contains(&format!("id=\"{id}\"")), "{id}");
        }
    }
}

#[test]
fn every_code_is_documented_with_its_status() {
    let page = include_str!("../../../docs/http.md");
    for (place, code) in Code::ALL.into_iter().enumerate() {
        let (status, name, title) = code.parts();
        let row = page.lines().find(|line| line.starts_with(&format!("| {status} |")));
        assert!(row.unwrap().contains(&format!("`{name}`")), "{name}");
        assert!(!title.is_empty());
        assert_eq!(Code::ALL.iter().position(|other| other.parts().1 == name), Some(place));
    }
}
