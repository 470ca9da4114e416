<?php

// Promises: the event before a request leaves, with the client and the request.
// Leans on: Event.
// Must never: be sent for a request that already left.

declare(strict_types=1);


namespace Bitrix\Main\Web\Http;

use Bitrix\Main\Event;
use Bitrix\Main\Web\HttpClient;
use Psr\Http\Message\RequestInterface;

class RequestEvent extends Event
{
    public function __construct(protected HttpClient $client, protected RequestInterface $request, string $type)
    {
        parent::__construct('main', $type);
    }

    public function getClient(): HttpClient
    {
        return $this->client;
    }

    public function getRequest(): RequestInterface
    {
        return $this->request;
    }
}
