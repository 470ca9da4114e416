<?php

// Promises: the English texts of install/index.php.
// Leans on: the same keys in lang/ru.
// Must never: hold markup; the page escapes what it shows.

declare(strict_types=1);

$MESS['BITRELAY_MODULE_NAME'] = 'Bitrix Relay: connector';
$MESS['BITRELAY_MODULE_DESCRIPTION'] = 'Connects the portal to a relay on your own network: REST tokens and events without the cloud. Events survive an outage of the relay.';
$MESS['BITRELAY_INSTALL_PHP'] = 'The module needs PHP 8.1 or newer. Update PHP and install again.';
$MESS['BITRELAY_INSTALL_REST'] = 'The module needs the REST API module (rest). Install it and try again.';
$MESS['BITRELAY_INSTALL_DB'] = 'The module works on MySQL and PostgreSQL; this portal uses another database.';
$MESS['BITRELAY_UNINSTALL_TITLE'] = 'Uninstall Bitrix Relay: connector';
$MESS['BITRELAY_UNINSTALL_ASK'] = '#ROWS# events have not reached the relay yet.';
$MESS['BITRELAY_UNINSTALL_DETAILS'] = 'If they are dropped, the applications will never get them. If they are kept, their table stays in the database, and they are sent once the module is installed and connected again.';
$MESS['BITRELAY_UNINSTALL_KEEP'] = 'Keep the unsent events';
$MESS['BITRELAY_UNINSTALL_DROP'] = 'Drop the unsent events for good';
$MESS['BITRELAY_UNINSTALL_GO'] = 'Uninstall';
