//! Floor probes, latency statistics and the near/far state of the cores.
