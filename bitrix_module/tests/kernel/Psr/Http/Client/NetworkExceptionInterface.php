<?php

// Promises: PSR-18's marker of a request that never arrived.
// Leans on: nothing.
// Must never: hold more than the request.

declare(strict_types=1);


namespace Psr\Http\Client;

use Psr\Http\Message\RequestInterface;

interface NetworkExceptionInterface extends ClientExceptionInterface
{
    public function getRequest(): RequestInterface;
}
