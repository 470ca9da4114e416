<?php

// Promises: the module's version, as the kernel's installer reads it.
// Leans on: nothing.
// Must never: do anything but assign.

declare(strict_types=1);

$arModuleVersion = [
    'VERSION' => '1.0.0',
    'VERSION_DATE' => '2026-11-24 00:00:00',
];
