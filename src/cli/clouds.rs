//! What the environment says about clouds: credentials, regions, endpoints, by the names that each cloud has for them.

use mimi_server::shelf::Settings;

/// Beginnings of the names.
const CLOUDS: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// The settings of every cloud. Empty values count as unset.
pub fn settings() -> Settings {
    let named = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let named =
        named.filter(|(name, value)| CLOUDS.iter().any(|cloud| name.starts_with(cloud)) && !value.is_empty());
    Settings::new(named.filter_map(|(name, value)| Some((name, value.into_string().ok()?))))
}
