<?php

// Promises: a body in memory.
// Leans on: PHP's temp streams.
// Must never: rewind by itself after a read.

declare(strict_types=1);


namespace Bitrix\Main\Web\Http;

use Psr\Http\Message\StreamInterface;

class Stream implements StreamInterface
{
    /** @var resource */
    private $resource;

    public function __construct($stream, $mode = 'r')
    {
        $this->resource = is_resource($stream) ? $stream : fopen($stream, $mode);
    }

    public function __toString()
    {
        rewind($this->resource);
        return (string)stream_get_contents($this->resource);
    }

    public function rewind()
    {
        rewind($this->resource);
    }

    public function write($string)
    {
        return fwrite($this->resource, $string);
    }
}
