<?php

// Promises: the Russian texts of lib/Agent.php.
// Leans on: the same keys in lang/en.
// Must never: hold markup; the page escapes what it shows.

declare(strict_types=1);

$MESS['BITRELAY_NOTICE_DEPTH'] = 'Bitrix Relay: #ROWS# событий из #LIMIT# возможных ждут реле. Проверьте, работает ли реле (настройки модуля → «Проверить»), пока предел не достигнут.';
$MESS['BITRELAY_NOTICE_HELD'] = 'Bitrix Relay: реле отказалось принять событий: #ROWS#. Они сохранены; причина указана на странице настроек модуля.';
