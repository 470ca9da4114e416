<?php

// Promises: a promise that was not kept.
// Leans on: nothing.
// Must never: stand for a broken test.

declare(strict_types=1);


namespace Bitrelay\Tests;

final class Failure extends \RuntimeException
{
}
