<?php

// Promises: the kernel's exception for wrong arguments (Json::decode throws it).
// Leans on: SystemException.
// Must never: be thrown for anything else.

declare(strict_types=1);


namespace Bitrix\Main;

class ArgumentException extends SystemException
{
}
