//! Regions, locks, last-value cells and the log: share it in place.
