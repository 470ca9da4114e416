<?php

// Promises: the English texts of lib/Agent.php.
// Leans on: the same keys in lang/ru.
// Must never: hold markup; the page escapes what it shows.

declare(strict_types=1);

$MESS['BITRELAY_NOTICE_DEPTH'] = 'Bitrix Relay: #ROWS# of at most #LIMIT# events are waiting for the relay. Check that the relay runs (Settings → Bitrix Relay → Check) before the limit is reached.';
$MESS['BITRELAY_NOTICE_HELD'] = 'Bitrix Relay: the relay refused #ROWS# events. They are kept; see the reason on the module’s settings page.';
