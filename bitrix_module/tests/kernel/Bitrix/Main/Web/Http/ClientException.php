<?php

// Promises: a request that failed.
// Leans on: PSR-18.
// Must never: be thrown by the stub for a status.

declare(strict_types=1);


namespace Bitrix\Main\Web\Http;

use Bitrix\Main\SystemException;
use Psr\Http\Client\ClientExceptionInterface;
use Psr\Http\Message\RequestInterface;

class ClientException extends SystemException implements ClientExceptionInterface
{
    public function __construct(protected RequestInterface $request, $message = '')
    {
        parent::__construct($message);
    }

    public function getRequest(): RequestInterface
    {
        return $this->request;
    }
}
