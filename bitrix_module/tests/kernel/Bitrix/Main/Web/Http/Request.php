<?php

// Promises: an immutable request.
// Leans on: Uri and Stream.
// Must never: change in place.

declare(strict_types=1);


namespace Bitrix\Main\Web\Http;

use Bitrix\Main\Web\Uri;
use Psr\Http\Message\RequestInterface;
use Psr\Http\Message\StreamInterface;

class Request implements RequestInterface
{
    /** @param array<string, string> $headers */
    public function __construct(private string $method, private Uri $uri, private array $headers, private StreamInterface $body)
    {
    }

    public function getMethod()
    {
        return $this->method;
    }

    public function getUri()
    {
        return $this->uri;
    }

    public function getBody()
    {
        return $this->body;
    }

    /** @return array<string, string> */
    public function headers(): array
    {
        return $this->headers;
    }

    public function withBody(StreamInterface $body)
    {
        $new = clone $this;
        $new->body = $body;
        return $new;
    }

    public function withHeader($name, $value)
    {
        $new = clone $this;
        $new->headers[$name] = $value;
        return $new;
    }
}
