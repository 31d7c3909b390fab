//! Words over a socket: a server sends a text line by line, Braid is killed in the middle, every word is counted once.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::process::Command;

use crate::braid::{River, eventually, shared};
use crate::cases::same;
use crate::oracle::words;
use crate::random::Random;

/// The time of line `n` where lines have one.
fn line_ms(n: usize) -> i64 {
    1_700_000_000_000 + n as i64 * 250
}

/// Serves the first part to the first client, the second to the second, and keeps every connection open.
pub fn serve(parts: Vec<String>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for part in parts {
            let Ok((mut stream, _)) = listener.accept() else {
                return;
            };
            // A client that goes away is what the test is about.
            let _ = stream.write_all(part.as_bytes());
            open.push(stream);
        }
        loop {
            match listener.accept() {
                Ok((stream, _)) => open.push(stream),
                Err(_) => return,
            }
        }
    });
    port
}

fn small_text() -> String {
    let mut random = Random::new(3);
    let vocabulary = ["que", "de", "y", "la", "Mancha,", "don", "Quijote.", "ñandú", "—dijo", "\"así\""];
    let mut text = String::new();
    for _ in 0..2000 {
        for _ in 0..random.below(12) {
            text.push_str(vocabulary[random.below(10) as usize]);
            text.push_str(if random.below(20) == 0 { "  " } else { " " });
        }
        text.push('\n');
    }
    text
}

fn don_quijote() -> Option<String> {
    let shared = shared("Don Quijote (375,784 words)")?;
    let done = Command::new("xz").arg("-dkc").arg(shared.join("data/quijote.txt.xz")).output().expect("xz runs");
    Some(String::from_utf8(done.stdout).expect("the text is UTF-8"))
}

/// Cuts a text after half of its lines.
fn halves(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let part = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    vec![part(&lines[..lines.len() / 2]), part(&lines[lines.len() / 2..])]
}

/// Runs a deployment on what `parts` hold, killed between them; `totals` counts the words after each.
fn run(deployment: &str, layout: &str, parts: Vec<String>, totals: [u64; 2], ask: &str) -> (tempfile::TempDir, River) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let river = River::new(deployment, home.path())
        .layout(layout)
        .env("QUIJOTE_HOST", "127.0.0.1")
        .env("QUIJOTE_PORT", serve(parts))
        .env("BRAID_HTTP", "127.0.0.1:0");
    for total in totals {
        let mut running = river.up();
        running.address();
        eventually(&format!("{total} words, {layout}"), || {
            if let Some(status) = running.ended() {
                panic!("it ended ({status}):\n{}", running.said());
            }
            let counted = river.finish("query", &[ask, "--output", "csv"]);
            let found = counted.out.lines().nth(1).unwrap_or_default();
            if found == total.to_string() {
                Ok(())
            } else {
                Err(format!("{found:?} counted; {}\n{}", counted.err, running.said()))
            }
        });
        assert!(running.kill(), "it had ended");
    }
    (home, river)
}

fn check_words(text: &str, layout: &str) {
    let oracle = words(text);
    let parts = halves(text);
    let half: u64 = words(&parts[0]).values().sum();
    let whole: u64 = oracle.values().sum();
    let (_home, river) = run("deploy/quijote.yaml", layout, parts, [half, whole], "SELECT words FROM totals");
    let mut wanted: Vec<String> = oracle.iter().map(|(word, n)| format!("{word},{n}")).collect();
    wanted.sort();
    same("the words", &counts(&river, "SELECT word, n FROM word_counts"), wanted);
    assert_eq!(river.rows("SELECT words, distinct_words FROM totals"), [format!("{whole},{}", oracle.len())]);
}

/// Rows of which only the first field can be quoted.
fn counts(river: &River, sql: &str) -> Vec<String> {
    let mut rows: Vec<String> = river
        .rows(sql)
        .into_iter()
        .map(|row| match row.strip_prefix('"').and_then(|row| row.rsplit_once('"')) {
            Some((word, rest)) => format!("{}{rest}", word.replace("\"\"", "\"")),
            None => row,
        })
        .collect();
    rows.sort();
    rows
}

fn check_windows(text: &str, layout: &str) {
    let (mut tumbling, mut sliding) = (BTreeMap::<_, u64>::new(), BTreeMap::<_, u64>::new());
    let mut json = String::new();
    for (n, line) in text.lines().enumerate() {
        let at = line_ms(n);
        json.push_str(&serde_json::json!({"at": at, "line": line}).to_string());
        json.push('\n');
        for word in line.split_whitespace() {
            *tumbling.entry((word, at / 60_000 * 60_000)).or_default() += 1;
            for start in [at / 30_000 * 30_000, at / 30_000 * 30_000 - 30_000] {
                *sliding.entry((word, start)).or_default() += 1;
            }
        }
    }
    let parts = halves(&json);
    let in_lines = |lines: usize| text.lines().take(lines).map(|line| line.split_whitespace().count() as u64).sum();
    let totals = [in_lines(parts[0].lines().count()), in_lines(usize::MAX)];
    let ask = "SELECT sum(n) AS words FROM tumbling";
    let (_home, river) = run("deploy/quijote-windows.yaml", layout, parts, totals, ask);
    for (view, oracle) in [("tumbling", tumbling), ("sliding", sliding)] {
        let mut wanted: Vec<String> = oracle.iter().map(|((word, start), n)| format!("{word},{start},{n}")).collect();
        wanted.sort();
        let sql = format!("SELECT word, unix_millis(w.start) AS start, n FROM {view}");
        same(view, &counts(&river, &sql), wanted);
    }
}

#[test]
fn words_over_a_socket_under_kappa() {
    check_words(&small_text(), "kappa");
}

#[test]
fn words_over_a_socket_under_lambda() {
    check_words(&small_text(), "lambda");
}

#[test]
fn words_in_windows_under_kappa() {
    check_windows(&small_text(), "kappa");
}

#[test]
fn words_in_windows_under_lambda() {
    check_windows(&small_text(), "lambda");
}

#[test]
fn don_quijote_over_a_socket_under_both_layouts() {
    let Some(text) = don_quijote() else {
        return;
    };
    let oracle = words(&text);
    assert_eq!(oracle.values().sum::<u64>(), 375_784);
    assert_eq!((oracle["que"], oracle["de"], oracle["y"]), (19_068, 17_538, 15_522));
    for layout in ["kappa", "lambda"] {
        check_words(&text, layout);
        check_windows(&text, layout);
    }
}
