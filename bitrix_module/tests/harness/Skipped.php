<?php

// Promises: a part that cannot be had here, with what would give it.
// Leans on: nothing.
// Must never: be thrown for a failure.

declare(strict_types=1);


namespace Bitrelay\Tests;

final class Skipped extends \RuntimeException
{
}
