<?php

// Promises: PSR-18's marker.
// Leans on: nothing.
// Must never: hold methods.

declare(strict_types=1);


namespace Psr\Http\Client;

interface ClientExceptionInterface extends \Throwable
{
}
