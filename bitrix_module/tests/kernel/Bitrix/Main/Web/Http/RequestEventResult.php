<?php

// Promises: a changed request.
// Leans on: EventResult.
// Must never: be read for its type.

declare(strict_types=1);


namespace Bitrix\Main\Web\Http;

use Bitrix\Main\EventResult;
use Psr\Http\Message\RequestInterface;

class RequestEventResult extends EventResult
{
    public function __construct(protected RequestInterface $request)
    {
        parent::__construct(parent::SUCCESS);
    }

    public function getRequest(): RequestInterface
    {
        return $this->request;
    }
}
