//! What tenants used: counted, written, summed, after any crash.
