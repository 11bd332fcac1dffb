//! Who may call which method.
