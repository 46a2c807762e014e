"""The gateway's configuration: one TOML file and the environment, validated whole, frozen."""
