<?php

// Promises: says why a validation bundle is not believed.
// Leans on: nothing.
// Must never: carry any part of the bundle.

declare(strict_types=1);

namespace Bitrelay\Connector\Token;

final class BundleRefused extends \RuntimeException
{
    public function __construct(string $reason, public readonly bool $unknownKey = false)
    {
        parent::__construct($reason);
    }
}
