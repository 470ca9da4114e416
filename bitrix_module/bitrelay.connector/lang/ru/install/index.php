<?php

// Promises: the Russian texts of install/index.php.
// Leans on: the same keys in lang/en.
// Must never: hold markup; the page escapes what it shows.

declare(strict_types=1);

$MESS['BITRELAY_MODULE_NAME'] = 'Bitrix Relay: коннектор';
$MESS['BITRELAY_MODULE_DESCRIPTION'] = 'Подключает портал к реле в вашей сети: токены и события REST без облака. События переживают недоступность реле.';
$MESS['BITRELAY_INSTALL_PHP'] = 'Модулю нужен PHP 8.1 или новее. Обновите PHP и повторите установку.';
$MESS['BITRELAY_INSTALL_REST'] = 'Модулю нужен модуль REST API (rest). Установите его и повторите.';
$MESS['BITRELAY_INSTALL_DB'] = 'Модуль работает на MySQL и PostgreSQL, а у этого портала другая база данных.';
$MESS['BITRELAY_UNINSTALL_TITLE'] = 'Удаление модуля Bitrix Relay: коннектор';
$MESS['BITRELAY_UNINSTALL_ASK'] = '#ROWS# событий ещё не дошли до реле.';
$MESS['BITRELAY_UNINSTALL_DETAILS'] = 'Если их удалить, приложения никогда их не получат. Если оставить, их таблица останется в базе данных, и они уйдут, когда модуль снова будет установлен и подключён.';
$MESS['BITRELAY_UNINSTALL_KEEP'] = 'Оставить неотправленные события';
$MESS['BITRELAY_UNINSTALL_DROP'] = 'Удалить неотправленные события навсегда';
$MESS['BITRELAY_UNINSTALL_GO'] = 'Удалить модуль';
