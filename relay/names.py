"""What the files of a home directory and the variables of the environment are called.

Leans on nothing, so that whoever needs only a name need not load the configuration. Must never hold a setting.
"""

CONFIG_FILE = "relay.toml"
DATABASE_FILE = "relay.db"
MASTER_KEY_FILE = "master.key"
DEFAULT_HOME = "relay-home"
HOME_VARIABLE = "RELAY_HOME"
MASTER_KEY_VARIABLE = "RELAY_MASTER_KEY"
LANGUAGE_VARIABLE = "RELAY_LANG"
