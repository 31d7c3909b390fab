//! Sliding windows: each is given out once and right, however rows come, and costs the same however long it is.

use proptest::prelude::*;

use super::{at, batch_of, block_on, engine, lines, sorted, start};
use crate::groups::MERGED_ROWS;
use crate::{Engine, OutputMode, Seed};

/// A row: its key, its second, its number.
type Row = (u8, i64, i64);

fn view(length: i64, slide: i64) -> String {
    format!(
        "SELECT window.start AS s, name, sum(n) AS t, max(n) AS m, count(*) AS c FROM events \
         GROUP BY window(at, '{length} seconds', '{slide} seconds'), name"
    )
}

async fn compiled(length: i64, slide: i64) -> Engine {
    engine(&[("w", view(length, slide).as_str())]).await
}

/// What each window of rows comes to, those only that end after one second and at or before another.
fn expected(rows: &[Row], length: i64, slide: i64, after: i64, until: i64) -> Vec<String> {
    let mut all: std::collections::BTreeMap<(i64, u8), Vec<i64>> = std::collections::BTreeMap::new();
    for (name, second, n) in rows {
        let mut start = second.div_euclid(slide) * slide;
        while start + length > *second {
            if start + length > after && start + length <= until {
                all.entry((start, *name)).or_default().push(*n);
            }
            start -= slide;
        }
    }
    let line = |((start, name), n): (&(i64, u8), &Vec<i64>)| {
        let (total, most) = (n.iter().sum::<i64>(), n.iter().max().unwrap());
        format!("{} | {} | {total} | {most} | {}", start * 1_000_000, (b'a' + name) as char, n.len())
    };
    let mut lines: Vec<String> = all.iter().map(line).collect();
    lines.sort();
    lines
}

/// Epochs of rows, each with how far the watermark has come when it ends.
fn epochs() -> impl Strategy<Value = Vec<(Vec<Row>, i64)>> {
    let row = (0_u8..3, -20_i64..90, 1_i64..9);
    let epoch = (prop::collection::vec(row, 0..12), 0_i64..25);
    prop::collection::vec(epoch, 1..8).prop_map(|epochs| {
        let mut watermark = -25;
        let mut moved = |(rows, step): (Vec<Row>, i64)| {
            watermark += step;
            (rows, watermark)
        };
        epochs.into_iter().map(&mut moved).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn windows_are_given_out_once_and_right(
        epochs in epochs(),
        (length, slide) in prop::sample::select(vec![(10, 5), (12, 5), (30, 1), (7, 3), (9, 9), (16, 4)]),
    ) {
        block_on(async {
            let engine = compiled(length, slide).await;
            let mut job = engine.job().unwrap();
            let mut append = engine.output("w", OutputMode::Append).unwrap();
            let mut update = engine.output("w", OutputMode::Update).unwrap();
            let mut complete = engine.output("w", OutputMode::Complete).unwrap();
            let (mut all, mut before): (Vec<Row>, Option<i64>) = (Vec::new(), None);
            let mut states = Vec::new();
            for (number, (rows, watermark)) in epochs.iter().enumerate() {
                job.begin(start(number as u64, before.map(|second| second * 1000)));
                let events: Vec<_> = rows.iter().map(|(name, second, n)| at(&((b'a' + name) as char).to_string(), *second, *n)).collect();
                job.feed("events", &batch_of(&events)).await.unwrap();
                let delta = job.finish(Some(watermark * 1000)).await.unwrap().deltas.remove("w").unwrap_or_default();
                let ms = (before.map(|second| second * 1000), Some(watermark * 1000));
                all.extend(rows);

                let given = append.apply(&delta, ms.0, ms.1).await.unwrap();
                let wanted = expected(&all, length, slide, before.unwrap_or(i64::MIN), *watermark);
                // A window that ended is given out once; rows that came after its end are not in it.
                assert_eq!(sorted(&given), wanted);

                let changed = sorted(&update.apply(&delta, ms.0, ms.1).await.unwrap());
                let open = expected(&all, length, slide, before.unwrap_or(i64::MIN), i64::MAX);
                let touched = expected(rows, length, slide, before.unwrap_or(i64::MIN), i64::MAX);
                let key = |line: &String| line.split(" | ").take(2).collect::<Vec<_>>().join(" | ");
                let touched: Vec<String> = touched.iter().map(key).collect();
                let wanted: Vec<String> = open.into_iter().filter(|line| touched.contains(&key(line))).collect();
                assert_eq!(changed, wanted);

                let whole = complete.apply(&delta, ms.0, ms.1).await.unwrap();
                if !rows.is_empty() {
                    assert_eq!(sorted(&whole), expected(&all, length, slide, i64::MIN, i64::MAX));
                }
                states.extend(delta);
                before = Some(*watermark);

                // One that starts here with what is stored goes on as this one does.
                let mut restarted = engine.output("w", OutputMode::Append).unwrap();
                restarted.seed(Seed::Deltas, &states, Some(watermark * 1000)).unwrap();
                let later = watermark + 13;
                let rest = restarted.apply(&[], Some(watermark * 1000), Some(later * 1000)).await.unwrap();
                assert_eq!(sorted(&rest), expected(&all, length, slide, *watermark, later));
            }
        });
    }
}

/// How many rows of states are merged for each window that is given out, one key, one row a second.
fn rows_per_window(length: i64) -> f64 {
    block_on(async {
        let engine = compiled(length, 1).await;
        let mut job = engine.job().unwrap();
        let mut append = engine.output("w", OutputMode::Append).unwrap();
        let (mut given, before) = (0, MERGED_ROWS.get());
        let seconds = 3 * length;
        for second in 0..seconds {
            job.begin(start(second as u64, (second > 0).then_some((second - 1) * 1000)));
            job.feed("events", &batch_of(&[at("a", second, 1)])).await.unwrap();
            let delta = job.finish(None).await.unwrap().deltas.remove("w").unwrap_or_default();
            let late = (second > 0).then_some((second - 1) * 1000);
            given += lines(&append.apply(&delta, late, Some(second * 1000)).await.unwrap()).len();
        }
        assert_eq!(given as i64, seconds - 1);
        (MERGED_ROWS.get() - before) as f64 / given as f64
    })
}

#[test]
fn a_slide_costs_the_same_when_windows_are_a_hundred_times_as_long() {
    let (short, long) = (rows_per_window(10), rows_per_window(1000));
    println!("rows merged per window: {short:.2} of 10 panes, {long:.2} of 1000 panes");
    assert!(long < 1.5 * short, "{short} {long}");
}
