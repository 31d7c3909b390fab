//! The Yahoo streaming benchmark: its events from a fixed seed, and the campaign view computed without Braid.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::random::Random;

/// The length of a window in milliseconds.
pub const WINDOW_MS: i64 = 10_000;
/// The first event's time.
const START_MS: i64 = 1_700_000_000_000;
/// Events per second of event time.
const EVENTS_PER_SECOND: u64 = 20_000;
const AD_TYPES: [&str; 5] = ["banner", "modal", "sponsored-search", "mail", "mobile"];
const EVENT_TYPES: [&str; 3] = ["view", "click", "purchase"];

/// What makes events: 100 campaigns of 10 ads, 10,000 users, 1,000 pages.
#[derive(Debug, Clone)]
pub struct World {
    /// Ad and campaign.
    pub ads: Vec<(String, String)>,
    users: Vec<String>,
    pages: Vec<String>,
    random: Random,
    made: u64,
}

impl World {
    /// The world of this seed, before its first event.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let campaigns: Vec<String> = (0..100).map(|_| random.uuid()).collect();
        let ads = campaigns
            .iter()
            .flat_map(|campaign| std::iter::repeat_n(campaign, 10))
            .map(|campaign| (random.uuid(), campaign.clone()))
            .collect();
        Self {
            ads,
            users: (0..10_000).map(|_| random.uuid()).collect(),
            pages: (0..1_000).map(|_| random.uuid()).collect(),
            random,
            made: 0,
        }
    }

    /// The static table: `ad_id,campaign_id`, with a header.
    pub fn ads_csv(&self) -> String {
        let mut csv = String::from("ad_id,campaign_id\n");
        for (ad, campaign) in &self.ads {
            csv.push_str(&format!("{ad},{campaign}\n"));
        }
        csv
    }

    /// The next event, as a JSON line without its end. Event time only grows.
    pub fn event(&mut self, line: &mut String) {
        use std::fmt::Write;
        let (k, ip) = (self.random.bits(), self.random.bits());
        let time = START_MS + (self.made * 1000 / EVENTS_PER_SECOND) as i64;
        self.made += 1;
        let pick = |shift: u32, many: usize| ((k >> shift) % many as u64) as usize;
        write!(
            line,
            r#"{{"user_id":"{}","page_id":"{}","ad_id":"{}","ad_type":"{}","event_type":"{}","event_time":{time},"ip_address":"{}.{}.{}.{}"}}"#,
            self.users[pick(0, 10_000)],
            self.pages[pick(14, 1_000)],
            self.ads[pick(24, 1_000)].0,
            AD_TYPES[pick(34, 5)],
            EVENT_TYPES[pick(40, 3)],
            ip & 255,
            (ip >> 8) & 255,
            (ip >> 16) & 255,
            (ip >> 24) & 255,
        )
        .expect("a String takes all");
    }

    /// Writes `ads.csv` and `events/part-NNNNN.json` into a directory; events past `files` × `per_file` are not made.
    pub fn write(&mut self, directory: &Path, files: u64, per_file: u64) -> std::io::Result<()> {
        std::fs::create_dir_all(directory.join("events"))?;
        std::fs::write(directory.join("ads.csv"), self.ads_csv())?;
        let mut line = String::new();
        for file in 0..files {
            let path = directory.join(format!("events/part-{file:05}.json"));
            let mut out = BufWriter::new(File::create(path)?);
            for _ in 0..per_file {
                line.clear();
                self.event(&mut line);
                line.push('\n');
                out.write_all(line.as_bytes())?;
            }
            out.flush()?;
        }
        Ok(())
    }
}

/// The campaign view: views per campaign and window, by the window's start in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Campaigns {
    /// The counts.
    pub views: BTreeMap<(String, i64), u64>,
    campaign_of: BTreeMap<String, String>,
}

impl Campaigns {
    /// Nothing counted yet.
    pub fn new(ads_csv: &str) -> Self {
        let campaign_of = ads_csv
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(','))
            .map(|(ad, campaign)| (ad.to_owned(), campaign.to_owned()))
            .collect();
        Self { views: BTreeMap::new(), campaign_of }
    }

    /// Counts one event.
    pub fn add(&mut self, line: &str) {
        let event: Value = serde_json::from_str(line).expect("the generator writes JSON");
        if event["event_type"] != "view" {
            return;
        }
        let ad = event["ad_id"].as_str().expect("an ad");
        let time = event["event_time"].as_i64().expect("a time");
        if let Some(campaign) = self.campaign_of.get(ad) {
            let start = time.div_euclid(WINDOW_MS) * WINDOW_MS;
            *self.views.entry((campaign.clone(), start)).or_default() += 1;
        }
    }

    /// Counts the files of a directory that [`World::write`] or the peers' generator filled.
    pub fn of(directory: &Path) -> std::io::Result<Self> {
        let mut campaigns = Self::new(&std::fs::read_to_string(directory.join("ads.csv"))?);
        for path in event_files(directory)? {
            for line in BufReader::new(File::open(path)?).lines() {
                campaigns.add(&line?);
            }
        }
        Ok(campaigns)
    }

    /// The rows `campaign,start,count`, sorted.
    pub fn rows(&self) -> Vec<String> {
        let mut rows: Vec<String> =
            self.views.iter().map(|((campaign, start), views)| format!("{campaign},{start},{views}")).collect();
        rows.sort();
        rows
    }
}

/// The event files of a directory, in order.
pub fn event_files(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(directory.join("events"))?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The generator is fixed: other machines and later versions make the same bytes.
    #[test]
    fn a_seed_makes_the_same_events() {
        let (mut a, mut b) = (World::new(1), World::new(1));
        let (mut one, mut two) = (String::new(), String::new());
        for _ in 0..1000 {
            a.event(&mut one);
            b.event(&mut two);
        }
        assert_eq!(one, two);
        assert!(one.starts_with(r#"{"user_id":""#));
        assert_eq!(a.ads.len(), 1000);
    }
}
