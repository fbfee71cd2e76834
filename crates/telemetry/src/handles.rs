//! What other rooms hold to count. The number of labels is part of the type, their values are
//! admitted or become `other`.

use crate::catalogue::{Kind, Metric};
use crate::labels::{Label, Values};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use std::time::{Duration, SystemTime};

/// Counters whose labels are all closed show 0 from the start, unless they have more series.
const ZEROED_SERIES_MAX: usize = 32;

/// Only grows.
#[derive(Debug)]
pub struct Counter<const N: usize> {
    instrument: opentelemetry::metrics::Counter<u64>,
    labels: &'static [Label],
}

impl<const N: usize> Counter<N> {
    pub(crate) const KIND: Kind = Kind::Counter;

    pub(crate) fn new(meter: &Meter, metric: &'static Metric) -> Self {
        let instrument = meter.u64_counter(metric.name).with_description(metric.help).build();
        // An alert on the first event needs the 0 before it: `increase` sees no step from nothing.
        for series in closed_series(metric.labels) {
            instrument.add(0, &series);
        }
        Self { instrument, labels: metric.labels }
    }

    /// Adds `count`; label values in the order of the catalogue.
    pub fn add(&self, count: u64, values: [&str; N]) {
        self.instrument.add(count, &pairs(self.labels, values));
    }
}

/// Is set to what was last seen.
#[derive(Debug)]
pub struct Gauge<const N: usize> {
    instrument: opentelemetry::metrics::Gauge<f64>,
    labels: &'static [Label],
}

impl<const N: usize> Gauge<N> {
    pub(crate) const KIND: Kind = Kind::Gauge;

    pub(crate) fn new(meter: &Meter, metric: &'static Metric) -> Self {
        let instrument = meter.f64_gauge(metric.name).with_description(metric.help).build();
        Self { instrument, labels: metric.labels }
    }

    /// Sets the value, in the unit of the catalogue.
    pub fn set(&self, value: f64, values: [&str; N]) {
        self.instrument.record(value, &pairs(self.labels, values));
    }

    /// Sets the value to the wall clock, as Unix seconds.
    pub fn set_to_now(&self, values: [&str; N]) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.set(now.as_secs_f64(), values);
    }
}

/// Goes up and down by steps.
#[derive(Debug)]
pub struct Level<const N: usize> {
    instrument: opentelemetry::metrics::UpDownCounter<i64>,
    labels: &'static [Label],
}

impl<const N: usize> Level<N> {
    pub(crate) const KIND: Kind = Kind::Level;

    pub(crate) fn new(meter: &Meter, metric: &'static Metric) -> Self {
        let instrument =
            meter.i64_up_down_counter(metric.name).with_description(metric.help).build();
        Self { instrument, labels: metric.labels }
    }

    /// Raises (or, below zero, lowers) the level.
    pub fn add(&self, step: i64, values: [&str; N]) {
        self.instrument.add(step, &pairs(self.labels, values));
    }

    /// Raises the level by one until the answer is dropped, panics and cancellation included.
    #[must_use]
    pub fn enter(&self, values: [&str; N]) -> Within {
        let pairs = pairs(self.labels, values);
        self.instrument.add(1, &pairs);
        Within { instrument: self.instrument.clone(), pairs: pairs.into() }
    }
}

/// A step at work, counted by [`Level::enter`].
#[derive(Debug)]
pub struct Within {
    instrument: opentelemetry::metrics::UpDownCounter<i64>,
    pairs: Vec<KeyValue>,
}

impl Drop for Within {
    fn drop(&mut self) {
        self.instrument.add(-1, &self.pairs);
    }
}

/// Counts durations by size.
#[derive(Debug)]
pub struct Histogram<const N: usize> {
    instrument: opentelemetry::metrics::Histogram<f64>,
    labels: &'static [Label],
}

impl<const N: usize> Histogram<N> {
    pub(crate) const KIND: Kind = Kind::Histogram;

    pub(crate) fn new(meter: &Meter, metric: &'static Metric) -> Self {
        let instrument = meter
            .f64_histogram(metric.name)
            .with_description(metric.help)
            .with_boundaries(metric.buckets.to_vec())
            .build();
        Self { instrument, labels: metric.labels }
    }

    /// Records how long something took.
    pub fn record(&self, duration: Duration, values: [&str; N]) {
        self.instrument.record(duration.as_secs_f64(), &pairs(self.labels, values));
    }
}

fn pairs<const N: usize>(labels: &[Label], values: [&str; N]) -> [KeyValue; N] {
    // The catalogue asserts at compile time that there are N labels.
    std::array::from_fn(|at| {
        let label = &labels[at];
        KeyValue::new(label.name, label.admit(values[at]).to_owned())
    })
}

/// Every combination of values, if all labels are closed and there are few.
fn closed_series(labels: &[Label]) -> Vec<Vec<KeyValue>> {
    let mut series: Vec<Vec<KeyValue>> = vec![Vec::new()];
    for label in labels {
        let Values::Closed(words) = label.values else { return Vec::new() };
        series = series
            .iter()
            .flat_map(|begun| {
                words.iter().map(move |word| {
                    let mut longer = begun.clone();
                    longer.push(KeyValue::new(label.name, *word));
                    longer
                })
            })
            .collect();
        if series.len() > ZEROED_SERIES_MAX {
            return Vec::new();
        }
    }
    series
}
