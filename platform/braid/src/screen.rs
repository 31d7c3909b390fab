//! What a person sees while the layers run: a few lines that stay in place on a terminal, and few lines elsewhere.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use braid_kernel::Manifest;
use braid_kernel::progress::Progress;
use braid_kernel::serve::Board;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::watch;

use crate::prepare::Prepared;

/// How often the lines are drawn anew.
const DRAW_EVERY: Duration = Duration::from_millis(500);

/// The lines.
pub struct Screen {
    lines: MultiProgress,
    sources: ProgressBar,
    speed: ProgressBar,
    base: ProgressBar,
    layout: String,
    terminal: bool,
}

impl Screen {
    /// Says what runs and where to look, once.
    pub fn new(prepared: &Prepared, address: Option<SocketAddr>) -> Self {
        let deployment = &prepared.deployment;
        let views: Vec<_> = deployment.views.keys().map(String::as_str).collect();
        eprintln!("{} · layout {} · store {}", deployment.name, deployment.layout.name, deployment.store);
        eprintln!("views    {}", views.join(", "));
        if let Some(address) = address {
            eprintln!("serving  http://{address}/  (a page to look at, and the API under /v1)");
            let view = views.first().copied().unwrap_or("view");
            eprintln!("try      curl 'http://{address}/v1/views/{view}/scan?limit=5'");
        }
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let lines = MultiProgress::with_draw_target(target);
        let line = |prefix: &'static str| {
            let style =
                ProgressStyle::with_template("{prefix:<8} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
            lines.add(ProgressBar::new_spinner().with_style(style).with_prefix(prefix))
        };
        let (sources, speed, base) = (line("sources"), line("speed"), line("base"));
        Self { lines, sources, speed, base, layout: deployment.layout.name.clone(), terminal }
    }

    /// Draws until told to stop.
    pub async fn draw(self, board: Board, mut stopping: watch::Receiver<bool>) {
        let mut generation = 0;
        loop {
            let stopped = tokio::time::timeout(DRAW_EVERY, stopping.wait_for(|stop| *stop)).await.is_ok();
            let manifest = board.snapshot().manifest.clone();
            let recent = board.recent();
            self.sources.set_message(sources(&manifest));
            self.speed.set_message(speed(&manifest, recent.last()));
            self.base.set_message(base(&manifest, &self.layout));
            if let Some(base) = manifest.base.as_ref().filter(|base| base.generation > generation) {
                generation = base.generation;
                if !self.terminal {
                    eprintln!("base     {}", self::base(&manifest, &self.layout));
                }
            }
            if stopped {
                if self.terminal {
                    for line in [&self.sources, &self.speed, &self.base] {
                        line.abandon();
                    }
                } else {
                    eprintln!("sources  {}", sources(&manifest));
                    eprintln!("speed    {}", speed(&manifest, recent.last()));
                }
                drop(self.lines);
                return;
            }
        }
    }
}

fn sources(manifest: &Arc<Manifest>) -> String {
    let rows = manifest.counts.rows.iter().map(|(name, rows)| {
        let bad = manifest.counts.bad.get(name).copied().unwrap_or_default();
        let bad = if bad > 0 { format!(", {} bad", grouped(bad)) } else { String::new() };
        format!("{name} {} rows{bad}", grouped(*rows))
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() { "no rows yet".into() } else { rows.join(" · ") }
}

fn speed(manifest: &Arc<Manifest>, last: Option<&Progress>) -> String {
    let mut text = format!("epoch {}", grouped(manifest.next));
    if let Some(last) = last {
        text.push_str(&format!(" · {} rows/s", grouped(last.input_rows_per_second as u64)));
        if let Some(spent) = last.duration_ms.get("triggerExecution") {
            text.push_str(&format!(" · {spent} ms an epoch"));
        }
    }
    if let Some(watermark) = manifest.watermark {
        text.push_str(&format!(" · watermark {}", braid_kernel::time::rfc3339(watermark)));
    }
    text
}

fn base(manifest: &Arc<Manifest>, layout: &str) -> String {
    match &manifest.base {
        None => format!("none yet ({layout})"),
        Some(base) => format!(
            "generation {} · {} · covers epochs below {} · {} epochs are hot",
            base.generation,
            match base.by {
                braid_kernel::manifest::BaseBy::Fold => "folded",
                braid_kernel::manifest::BaseBy::Recompute => "recomputed from the log",
            },
            base.horizon,
            manifest.next - base.horizon
        ),
    }
}

/// A bar for the batch layer's way through the raw log.
pub fn recompute_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("batch    {wide_bar} {human_pos} of {human_len} rows, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style)
}

/// Digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
