<?php

// Promises: the value of every setting that was never saved.
// Leans on: nothing; the kernel reads the variable by its name.
// Must never: hold a secret or an address.

declare(strict_types=1);

$bitrelay_connector_default_option = [
    'mode' => 'off',
    'relay_url' => '',
    'ca' => '',
    'apps' => '',
    'hosts' => '',
    'local_validation' => 'Y',
    'outbox' => 'Y',
    'shutdown_net' => 'Y',
    'capture_events' => '',
    'connect_timeout' => '2',
    'read_timeout' => '5',
    'backoff_min' => '30',
    'backoff_max' => '600',
    'outbox_limit' => '200000',
    'outbox_warn_percent' => '25',
    'token_cache' => '30',
    'portal_url' => '',
    'connected_at' => '0',
];
