<?php

// Promises: the part of PSR-7 that the module reads.
// Leans on: nothing.
// Must never: grow past what is used.

declare(strict_types=1);


namespace Psr\Http\Message;

interface RequestInterface
{
    public function getMethod();

    public function getUri();

    public function getBody();

    public function withBody(StreamInterface $body);

    public function withHeader($name, $value);
}
